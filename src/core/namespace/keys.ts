import { assert } from '../../base/assert.ts';

/**
 * Keys of the state machine's rows (FORMAT.md, "Namespace rows"): a table byte, big-endian numbers of fixed width, and a name as
 * the last part, so that byte order is the order of the numbers and then of the names.
 */
export const TABLE = {
  /** Left to the driver: the applied index and what else belongs to the replica and not to the tree. */
  driver: 0x00,
  cluster: 0x01,
  counters: 0x02,
  inode: 0x10,
  dentry: 0x11,
  xattrNames: 0x12,
  xattr: 0x13,
  chunk: 0x14,
  chunkPage: 0x15,
  chunkPages: 0x16,
  block: 0x20,
  condemned: 0x21,
  reclaim: 0x22,
  session: 0x30,
  answer: 0x31,
  nonce: 0x32,
  orphan: 0x40,
  blockNode: 0x50,
  lock: 0x60,
  /** Reserved for later tables: quota, snapshot, keyValue, history. */
  quota: 0x61,
  snapshot: 0x62,
  lockedInodes: 0x63,
  lockWaiter: 0x64,
  keyValue: 0x70,
  history: 0x80,
  /** One past the last table of the state machine. */
  end: 0xff,
} as const;

const U32 = 0x1_0000_0000;

export function putU64(out: Uint8Array, at: number, value: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, 'a number in a key is a safe unsigned integer');
  putU32(out, at, Math.floor(value / U32));
  putU32(out, at + 4, value % U32);
}

export function putU32(out: Uint8Array, at: number, value: number): void {
  out[at] = value >>> 24;
  out[at + 1] = value >>> 16;
  out[at + 2] = value >>> 8;
  out[at + 3] = value;
}

export function readU64(bytes: Uint8Array, at: number): number {
  return readU32(bytes, at) * U32 + readU32(bytes, at + 4);
}

export function readU32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

function numberKey(table: number, value: number): Uint8Array {
  const key = new Uint8Array(9);
  key[0] = table;
  putU64(key, 1, value);
  return key;
}

function numberNameKey(table: number, value: number, name: Uint8Array): Uint8Array {
  const key = new Uint8Array(9 + name.length);
  key[0] = table;
  putU64(key, 1, value);
  key.set(name, 9);
  return key;
}

function numberU32Key(table: number, value: number, index: number): Uint8Array {
  const key = new Uint8Array(13);
  key[0] = table;
  putU64(key, 1, value);
  putU32(key, 9, index);
  return key;
}

function bytesKey(table: number, bytes: Uint8Array): Uint8Array {
  const key = new Uint8Array(1 + bytes.length);
  key[0] = table;
  key.set(bytes, 1);
  return key;
}

export const CLUSTER_KEY: Uint8Array = Uint8Array.of(TABLE.cluster);
export const COUNTERS_KEY: Uint8Array = Uint8Array.of(TABLE.counters);
export const RECLAIM_KEY: Uint8Array = Uint8Array.of(TABLE.reclaim);

export const inodeKey = (ino: number): Uint8Array => numberKey(TABLE.inode, ino);
export const dentryKey = (parent: number, name: Uint8Array): Uint8Array =>
  numberNameKey(TABLE.dentry, parent, name);
export const xattrNamesKey = (ino: number): Uint8Array => numberKey(TABLE.xattrNames, ino);
export const xattrKey = (ino: number, name: Uint8Array): Uint8Array => numberNameKey(TABLE.xattr, ino, name);
export const chunkKey = (ino: number, index: number): Uint8Array => numberU32Key(TABLE.chunk, ino, index);
/** Which chunks of one page of 1,024 exist. */
export const chunkPageKey = (ino: number, page: number): Uint8Array =>
  numberU32Key(TABLE.chunkPage, ino, page);
/** Which chunk pages after the first exist. */
export const chunkPagesKey = (ino: number): Uint8Array => numberKey(TABLE.chunkPages, ino);
export const blockKey = (id: Uint8Array): Uint8Array => bytesKey(TABLE.block, id);
export const condemnedKey = (index: number, id: Uint8Array): Uint8Array =>
  numberNameKey(TABLE.condemned, index, id);
/** The block id at the end of a key of table `condemned`. */
export const blockIdOfCondemnedKey = (key: Uint8Array): Uint8Array => key.subarray(9);
export const sessionKey = (session: number): Uint8Array => numberKey(TABLE.session, session);
export const nonceKey = (nonce: Uint8Array): Uint8Array => bytesKey(TABLE.nonce, nonce);
export const orphanKey = (ino: number): Uint8Array => numberKey(TABLE.orphan, ino);

export function answerKey(session: number, sequence: number): Uint8Array {
  const key = new Uint8Array(17);
  key[0] = TABLE.answer;
  putU64(key, 1, session);
  putU64(key, 9, sequence);
  return key;
}

export const lockKey = (ino: number): Uint8Array => numberKey(TABLE.lock, ino);
export const lockedInodesKey = (session: number, bucket: number): Uint8Array =>
  numberU32Key(TABLE.lockedInodes, session, bucket);

export function lockWaiterKey(session: number, owner: number): Uint8Array {
  const key = new Uint8Array(17);
  key[0] = TABLE.lockWaiter;
  putU64(key, 1, session);
  putU64(key, 9, owner);
  return key;
}

/** `id` is printable ASCII, which the command that registers a node checks. */
export function blockNodeKey(id: string): Uint8Array {
  const key = new Uint8Array(1 + id.length);
  key[0] = TABLE.blockNode;
  for (let i = 0; i < id.length; i++) key[1 + i] = id.charCodeAt(i);
  return key;
}

export interface KeyRange {
  readonly gte: Uint8Array;
  readonly lt: Uint8Array;
}

/** All rows of one table. */
export function tableRange(table: number): KeyRange {
  return { gte: Uint8Array.of(table), lt: Uint8Array.of(table + 1) };
}

/** The entries of a directory with names greater than `after`. */
export function dentryRange(parent: number, after: Uint8Array): KeyRange {
  // The first key after (parent, after) is the same with a zero byte behind; no name is empty.
  const gte = new Uint8Array(9 + after.length + 1);
  gte.set(dentryKey(parent, after));
  return { gte: after.length === 0 ? numberKey(TABLE.dentry, parent) : gte, lt: nextNumberKey(parent) };
}

/** The chunks of a file from `first` on. */
export function chunkRange(ino: number, first: number): KeyRange {
  return { gte: chunkKey(ino, first), lt: chunkKey(ino + 1, 0) };
}

function nextNumberKey(parent: number): Uint8Array {
  const key = numberKey(TABLE.dentry, parent);
  for (let i = key.length - 1; ; i--) {
    key[i] = (key[i]! + 1) & 0xff;
    if (key[i] !== 0) return key;
  }
}

/** The name at the end of a dentry or xattr key. */
export const nameOfKey = (key: Uint8Array): Uint8Array => key.subarray(9);
/** The number behind the table byte. */
export const numberOfKey = (key: Uint8Array): number => readU64(key, 1);
/** The chunk index at the end of a chunk key. */
export const chunkIndexOfKey = (key: Uint8Array): number => readU32(key, 9);
/** The id behind the table byte of a block key. */
export const blockIdOfKey = (key: Uint8Array): Uint8Array => key.subarray(1);
