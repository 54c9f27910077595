import type { BlockId } from '../base/ids.ts';

/** The block ring as a client sees it. Implemented by src/client over the network and by a map in tests. */
export interface BlockService {
  /** Durable on a write quorum when resolved. Throws FsError ENOSPC, ETIMEDOUT, EIO. The caller must not change `data`
   * before it resolves. */
  put(data: Uint8Array, signal?: AbortSignal): Promise<BlockId>;
  /** The verified content; may be shared with a cache, so the caller must not change it. Throws FsError EIO when no
   * replica has a good copy, ETIMEDOUT. */
  get(id: BlockId, signal?: AbortSignal): Promise<Uint8Array>;
  /** Start fetching into the cache. Never throws. */
  prefetch(id: BlockId): void;
  close(): Promise<void>;
}
