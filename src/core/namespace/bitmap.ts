import { EMPTY_BYTES } from '../../base/bytes.ts';

/** Sets of small numbers as bits: number i is bit i % 8 of byte i / 8. Trailing zero bytes are left out. */

export function hasBit(bits: Uint8Array, i: number): boolean {
  return ((bits[i >>> 3] ?? 0) & (1 << (i & 7))) !== 0;
}

export function withBit(bits: Uint8Array, i: number): Uint8Array {
  const out = new Uint8Array(Math.max(bits.length, (i >>> 3) + 1));
  out.set(bits);
  out[i >>> 3] = out[i >>> 3]! | (1 << (i & 7));
  return out;
}

export function withoutBit(bits: Uint8Array, i: number): Uint8Array {
  const out = new Uint8Array(bits);
  if (i >>> 3 < out.length) out[i >>> 3] = out[i >>> 3]! & ~(1 << (i & 7));
  let length = out.length;
  while (length > 0 && out[length - 1] === 0) length--;
  return length === 0 ? EMPTY_BYTES : out.subarray(0, length);
}

/** The numbers of the set from `first` on, in order. */
export function bitsFrom(bits: Uint8Array, first: number): number[] {
  const out: number[] = [];
  for (let i = first; i < bits.length * 8; i++) if (hasBit(bits, i)) out.push(i);
  return out;
}
