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

export interface BlockStoreStats {
  readonly blocks: number;
  readonly storedBytes: number;
  readonly capacityBytes: number;
  readonly availableBytes: number;
}

/** One node's own disk. Names are SHA-256 hashes; the store trusts that `id` was checked against `data`. */
export interface BlockStore {
  /** Durable (fdatasync) when resolved. Idempotent. Returns whether it was there already. Throws BlockStoreError:
   * `no-space` leaves the store as it was, and readable. */
  put(id: BlockId, data: Uint8Array): Promise<{ existed: boolean }>;
  /** The bytes as stored with the record checksum verified, or undefined. Throws BlockStoreError `corrupt`. */
  get(id: BlockId): Promise<Uint8Array | undefined>;
  has(ids: readonly BlockId[]): Promise<boolean[]>;
  /** Forget a block, for example a corrupt copy that is about to be fetched again. Idempotent. */
  delete(id: BlockId): Promise<void>;
  /** Identifiers in order, greater than `after`, up to and including `until`. */
  list(
    after: BlockId | undefined,
    until: BlockId | undefined,
    limit: number,
  ): Promise<{ id: BlockId; length: number }[]>;
  stats(): Promise<BlockStoreStats>;
  close(): Promise<void>;
}
