import type { BlockId } from '../base/ids.ts';

export type BlockStoreErrorCode = 'corrupt' | 'no-space' | 'io' | 'closed';

export class BlockStoreError extends Error {
  override readonly name = 'BlockStoreError';
  readonly code: BlockStoreErrorCode;
  constructor(code: BlockStoreErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

export type DeleteOutcome = 'deleted' | 'missing' | 'kept';

export interface BlockStoreStats {
  readonly blocks: number;
  /** Content of the blocks that are there. */
  readonly storedBytes: number;
  /** What the store takes of its disk, dead bytes included. */
  readonly fileBytes: number;
  /** Of these, what deleted and replaced blocks still take. */
  readonly deadBytes: number;
  readonly capacityBytes: number;
  readonly availableBytes: number;
  /** Files that were damaged and set aside, and their bytes, which the store does not count as its own. */
  readonly quarantinedSegments: number;
  readonly quarantinedBytes: number;
}

export interface StoreInspection {
  /** Blocks that the index has and the files have not: this copy is lost. At most as many as were asked for. */
  readonly lost: readonly BlockId[];
  /** There may be others: to be asked again once these are dealt with. */
  readonly more: boolean;
  /** The index was built again from headers alone: a pass over all content is due. Told once. */
  readonly unread: boolean;
}

export interface BlockEntry {
  readonly id: BlockId;
  readonly length: number;
  /** The highest commit index with which this copy was put or touched: what a delete is compared with. */
  readonly uploadedAt: number;
}

/**
 * One node's own disk. Names are SHA-256 hashes; the store trusts that `id` was checked against `data`. All changes of one
 * block take effect one after another.
 */
export interface BlockStore {
  /** Durable (fdatasync) when resolved. Idempotent. Returns whether it was there already; then its `uploadedAt` is
   * durably raised to this one. Throws BlockStoreError: `no-space` leaves the store as it was, and readable. */
  put(id: BlockId, data: Uint8Array, uploadedAt?: number): Promise<{ existed: boolean }>;
  /** Which of these are there; those have durably at least this `uploadedAt`. */
  touch(ids: readonly BlockId[], uploadedAt: number): Promise<boolean[]>;
  /** The bytes as stored with the record checksum verified, or undefined. Throws BlockStoreError `corrupt`. */
  get(id: BlockId): Promise<Uint8Array | undefined>;
  has(ids: readonly BlockId[]): Promise<boolean[]>;
  stat(ids: readonly BlockId[]): Promise<(BlockEntry | undefined)[]>;
  /**
   * Forget a block, durably when resolved. Idempotent. `before`: only if its `uploadedAt` is lower. Deletes take from a
   * reserve that puts do not, so they work on a full disk. After an error the block may be there or not, and a put
   * stores it again.
   */
  delete(id: BlockId, before?: number): Promise<DeleteOutcome>;
  /** Identifiers in order, greater than `after`, up to and including `until`. */
  list(after: BlockId | undefined, until: BlockId | undefined, limit: number): Promise<BlockEntry[]>;
  /** Gives the space of deleted blocks back as far as that is worth its writes. It happens by itself too, with delay. */
  reclaim(): Promise<void>;
  /**
   * Looks at the files themselves: whether all are there, as long as they must be, and with a readable header. What is good in
   * damaged ones is written again, and they are set aside. Throws BlockStoreError.
   */
  inspect(limit: number): Promise<StoreInspection>;
  stats(): Promise<BlockStoreStats>;
  close(): Promise<void>;
}
