/**
 * The hash of a state: the sum of the hashes of its rows. It does not depend on the order of the rows, so it follows each write at the
 * cost of that write, whatever the number of rows; and whoever reads all rows gets the same. It is made to notice mistakes of
 * programs and disks, not people who look for two states with one hash.
 */

/** Hashes are whole numbers below this: sums of two are exact. */
const HASH_LIMIT = 2 ** 52;
const HIGH_BITS = 0xfffff;

/** Of a state without rows, and of a row that is not there. */
export const NO_ROWS_HASH = 0;

/** From here on a DataView pays. */
const LONG_BYTES = 512;

const PRIME_A = 0x85ebca6b;
const PRIME_B = 0xc2b2ae35;

let laneA = 0;
let laneB = 0;

/** Each lane takes every other word. A step can be undone, so two byte strings that differ in one word never meet again. */
function mix(wordA: number, wordB: number): void {
  laneA = Math.imul(laneA ^ wordA, PRIME_A);
  laneA ^= laneA >>> 15;
  laneB = Math.imul(laneB ^ wordB, PRIME_B);
  laneB ^= laneB >>> 13;
}

function mixBytes(bytes: Uint8Array): void {
  const { length } = bytes;
  // What is joined could be split elsewhere.
  mix(length, length);
  let at = length < LONG_BYTES ? 0 : mixLong(bytes);
  for (; at + 8 <= length; at += 8) mix(wordAt(bytes, at), wordAt(bytes, at + 4));
  if (at + 4 <= length) {
    mix(wordAt(bytes, at), 0);
    at += 4;
  }
  let rest = 0;
  for (; at < length; at++) rest = (rest << 8) | bytes[at]!;
  mix(0, rest);
}

/** Little-endian. */
function wordAt(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}

/** The same, faster by half when there is enough to make up for the view. Returns where it stopped. */
function mixLong(bytes: Uint8Array): number {
  const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  for (; at + 8 <= bytes.length; at += 8) mix(words.getInt32(at, true), words.getInt32(at + 4, true));
  return at;
}

/** The last steps of MurmurHash3: every bit of a lane depends on every other. */
function finished(lane: number): number {
  let bits = lane ^ (lane >>> 16);
  bits = Math.imul(bits, PRIME_A);
  bits ^= bits >>> 13;
  bits = Math.imul(bits, PRIME_B);
  return (bits ^ (bits >>> 16)) >>> 0;
}

export function rowHash(key: Uint8Array, value: Uint8Array): number {
  laneA = 0x9747b28c;
  laneB = 0x1b873593;
  mixBytes(key);
  mixBytes(value);
  const low = finished(laneA + laneB);
  return (finished(laneB ^ low) & HIGH_BITS) * 2 ** 32 + low;
}

/** The hash of a state whose rows changed by so much, as `hashChange` has it. */
export function addHash(sum: number, change: number): number {
  return (sum + change) % HASH_LIMIT;
}

/** What a row that had the hash `before` and has `after` changes. */
export function hashChange(before: number, after: number): number {
  return (after - before + HASH_LIMIT) % HASH_LIMIT;
}

/** As people see it. */
export function hashText(hash: number): string {
  return hash.toString(16).padStart(13, '0');
}
