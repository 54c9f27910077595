import { createHash } from 'node:crypto';
import { FsError } from '../../src/base/errno.ts';
import type { BlockId } from '../../src/base/ids.ts';
import type { BlockService } from '../../src/ports/block-service.ts';

/** Blocks of a whole ring, shared by the services of several clients. */
export type BlockMap = Map<BlockId, Uint8Array>;

/** Called at the named points; await to delay, throw (an FsError) to fail. */
export interface MemoryBlockHooks {
  beforePut?: (data: Uint8Array) => Promise<void> | void;
  beforeGet?: (id: BlockId) => Promise<void> | void;
}

/** A BlockService over a map, with failure injection and counters. */
export class MemoryBlockService implements BlockService {
  readonly blocks: BlockMap;
  readonly hooks: MemoryBlockHooks;
  readonly puts: BlockId[] = [];
  readonly gets: BlockId[] = [];
  readonly prefetched: BlockId[] = [];
  #failures: FsError[] = [];
  putsInFlight = 0;
  putsInFlightMax = 0;

  constructor(blocks: BlockMap = new Map(), hooks: MemoryBlockHooks = {}) {
    this.blocks = blocks;
    this.hooks = hooks;
  }

  /** The next put stores nothing and fails with this. May be called several times. */
  failNextPut(error: FsError): void {
    this.#failures.push(error);
  }

  async put(data: Uint8Array, signal?: AbortSignal): Promise<BlockId> {
    if (signal?.aborted) throw new FsError('EINTR');
    this.putsInFlight++;
    this.putsInFlightMax = Math.max(this.putsInFlightMax, this.putsInFlight);
    try {
      const before = hash(data);
      await this.hooks.beforePut?.(data);
      const failure = this.#failures.shift();
      if (failure) throw failure;
      const id = hash(data);
      if (id !== before) throw new Error('the data was changed during the put');
      this.blocks.set(id, data.slice());
      this.puts.push(id);
      return id;
    } finally {
      this.putsInFlight--;
    }
  }

  async get(id: BlockId, signal?: AbortSignal): Promise<Uint8Array> {
    if (signal?.aborted) throw new FsError('EINTR');
    await this.hooks.beforeGet?.(id);
    this.gets.push(id);
    const data = this.blocks.get(id);
    if (!data) throw new FsError('EIO', 'no replica has this block');
    return data;
  }

  prefetch(id: BlockId): void {
    this.prefetched.push(id);
  }

  async close(): Promise<void> {}
}

function hash(data: Uint8Array): BlockId {
  return createHash('sha256').update(data).digest('hex') as BlockId;
}
