import { FsError } from '../base/errno.ts';

/** An ordered store of byte strings with atomic batches: RocksDB in production, a sorted map in tests. */

export type KvWrite =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: Uint8Array };

export interface KvRange {
  /** First key, inclusive. */
  readonly gte: Uint8Array;
  /** End, exclusive. */
  readonly lt: Uint8Array;
  readonly limit?: number;
  readonly reverse?: boolean;
}

export interface KvStore {
  get(key: Uint8Array): Promise<Uint8Array | undefined>;
  /** In the order of `keys`. */
  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]>;
  /** Atomic. With `sync` it has reached the disk when the promise resolves; without, it survives the death of the
   * process but not of the machine. Rejects with code ENOSPC when the disk is full; nothing was written then. */
  write(batch: readonly KvWrite[], options: { readonly sync: boolean }): Promise<void>;
  /** Pairs in key order as of the call, whatever is written meanwhile. Return early to release the iterator. */
  scan(range: KvRange): AsyncIterableIterator<readonly [key: Uint8Array, value: Uint8Array]>;
  /** Remove every key of a range. Not atomic with anything else. */
  clear(range: { readonly gte: Uint8Array; readonly lt: Uint8Array }): Promise<void>;
  close(): Promise<void>;
}

/** What is stored is not what was written. Whoever owns the store is told of it too, and must not go on from there. */
export class KvDamagedError extends FsError {
  constructor(detail: string, options?: { readonly cause?: unknown }) {
    super('EIO', detail, options);
  }
}
