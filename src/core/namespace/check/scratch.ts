import { type KeyRange, putU32, putU64 } from '../keys.ts';
import type { RowSource, RowWrite } from '../types.ts';

/** An ordered store for what a check sorts: empty before, of no use afterwards. Any ports/kv-store.ts is one. */
export interface Scratch extends Pick<RowSource, 'get' | 'scan'> {
  write(batch: readonly RowWrite[], options: { readonly sync: boolean }): Promise<void>;
}

/** The first byte of a scratch row: what is sorted by what. */
export const TAG = {
  /** ino, parent, name: an entry, by the inode that it names. */
  link: 1,
  /** parent, ino: a directory in a directory. */
  subdirectory: 2,
  /** block id, ino, chunk: references of one chunk to one block. */
  blockUse: 3,
  /** ino, page: the chunk bitmap that the chunks call for. */
  chunkPage: 4,
  chunkPages: 5,
  /** depth, ino: directories to visit from the root. */
  depth: 6,
  /** ino: a directory that was reached from the root. */
  reached: 7,
  /** ino: a directory that has a name. */
  directory: 8,
  /** commit index, block id. */
  condemned: 9,
  nonce: 10,
  /** session, bucket, ino: by the locks, and by the index of locks. */
  lockOfSession: 11,
  lockedInode: 12,
  /** session, owner, ino: by the lines, and by the index of waiters. */
  waiter: 13,
  waiterRow: 14,
} as const;

const BATCH_ROWS = 1_000;

/** Collects rows for scratch and writes them in batches. */
export class ScratchWriter {
  readonly #scratch: Scratch;
  #batch: RowWrite[] = [];

  constructor(scratch: Scratch) {
    this.#scratch = scratch;
  }

  async put(key: Uint8Array, value: Uint8Array): Promise<void> {
    this.#batch.push({ type: 'put', key, value });
    if (this.#batch.length >= BATCH_ROWS) await this.flush();
  }

  async flush(): Promise<void> {
    if (this.#batch.length === 0) return;
    const batch = this.#batch;
    this.#batch = [];
    await this.#scratch.write(batch, { sync: false });
  }
}

/** A tag, then numbers of 64 bits, then bytes. */
export function scratchKey(tag: number, numbers: readonly number[], rest?: Uint8Array): Uint8Array {
  const key = new Uint8Array(1 + numbers.length * 8 + (rest?.length ?? 0));
  key[0] = tag;
  let at = 1;
  for (const number of numbers) {
    putU64(key, at, number);
    at += 8;
  }
  if (rest !== undefined) key.set(rest, at);
  return key;
}

export function tagRange(tag: number): KeyRange {
  return { gte: Uint8Array.of(tag), lt: Uint8Array.of(tag + 1) };
}

/** Rows under a tag and a number. */
export function tagNumberRange(tag: number, number: number): KeyRange {
  return { gte: scratchKey(tag, [number]), lt: scratchKey(tag, [number + 1]) };
}

export function u32s(...numbers: readonly number[]): Uint8Array {
  const out = new Uint8Array(numbers.length * 4);
  numbers.forEach((number, i) => {
    putU32(out, i * 4, number);
  });
  return out;
}
