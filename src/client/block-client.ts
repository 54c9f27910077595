import { FsError } from '../base/errno.ts';
import type { BlockId } from '../base/ids.ts';
import {
  BLOCK_CACHE_BYTES_DEFAULT,
  BLOCK_CACHE_WRITTEN_BYTES_MAX,
  CLIENT_OPERATION_TIMEOUT_MS_DEFAULT,
  GETS_IN_FLIGHT_MAX,
  HEDGE_DELAY_MS_DEFAULT,
  PREFETCHES_IN_FLIGHT_MAX,
  PUT_BYTES_IN_FLIGHT_MAX,
  REPAIRS_IN_FLIGHT_MAX,
  REPLICAS_DEFAULT,
} from '../base/limits.ts';
import type { Random } from '../base/random.ts';
import type { BlockReply, BlockRequest } from '../gen/ringfs/v1/block.ts';
import type { BlockService } from '../ports/block-service.ts';
import type { Timers } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import type { RpcConnector } from '../ports/rpc.ts';
import { BlockCache } from './block-cache.ts';
import { BlockGet } from './block-get.ts';
import { blockIdOf, blockKey } from './block-id.ts';
import { BlockPut } from './block-put.ts';
import type { BlockClientStats } from './client-stats.ts';
import { BlockConnections } from './connections.ts';
import { Deadline } from './deadline.ts';
import { NodeList } from './node-list.ts';
import { RingCache } from './ring-cache.ts';
import { Semaphore } from './semaphore.ts';

export interface BlockClientComponents {
  readonly connector: RpcConnector<BlockRequest, BlockReply>;
  readonly timers: Timers;
  readonly random: Random;
  readonly logger: Logger;
  /** Addresses (host:port) of the block nodes, the living ones if that is known: from the meta cluster's topology. */
  readonly nodes: () => Promise<readonly string[]>;
  /** Also those that seem dead: the meta cluster may not hear of a node that clients reach. Default: as `nodes`. */
  readonly everyNode?: () => Promise<readonly string[]>;
  /** MetaService.seenIndex of the service whose commits name the blocks. */
  readonly seenIndex: () => number;
}

export interface BlockClientOptions {
  readonly clientName: string;
  /** Default: any. */
  readonly clusterId?: string;
  /** R of the ring. Default 3. */
  readonly replicas?: number;
  /** Default 256 MiB. */
  readonly cacheBytes?: number;
  /** Default 30,000 ms. */
  readonly operationTimeoutMs?: number;
  /** Blocks fetched at the same time; more wait. Default 64. */
  readonly concurrency?: number;
  /** Default 200 ms. */
  readonly hedgeDelayMs?: number;
  /** Default 1. */
  readonly connectionsPerNode?: number;
}

/** The block ring over the network: puts to a write quorum, verified, cached and self-healing gets. */
export class BlockClient implements BlockService {
  readonly #c: BlockClientComponents;
  readonly #timeoutMs: number;
  readonly #connections: BlockConnections;
  readonly #ring: RingCache;
  readonly #cache: BlockCache;
  readonly #put: BlockPut;
  readonly #get: BlockGet;
  readonly #putBytes = new Semaphore(PUT_BYTES_IN_FLIGHT_MAX);
  readonly #getSlots: Semaphore;
  readonly #flights = new Map<BlockId, Promise<Uint8Array>>();
  #closed = false;
  #counts = { puts: 0, putBytes: 0, gets: 0, fetchedBytes: 0, repairs: 0, repairsFailed: 0, prefetches: 0 };
  #prefetchesDropped = 0;
  #prefetching = 0;
  #repairing = 0;

  constructor(components: BlockClientComponents, options: BlockClientOptions) {
    const { timers, random, logger, seenIndex } = components;
    this.#c = components;
    this.#timeoutMs = options.operationTimeoutMs ?? CLIENT_OPERATION_TIMEOUT_MS_DEFAULT;
    this.#connections = new BlockConnections(components, {
      clientName: options.clientName,
      clusterId: options.clusterId ?? '',
      perNode: options.connectionsPerNode ?? 1,
    });
    this.#ring = new RingCache(
      {
        connections: this.#connections,
        random,
        nodes: new NodeList({ timers, logger, source: components.nodes }),
      },
      { replicas: options.replicas ?? REPLICAS_DEFAULT },
    );
    const parts = { connections: this.#connections, ring: this.#ring, timers, random, logger, seenIndex };
    this.#put = new BlockPut(parts);
    const everyNode = components.everyNode ?? components.nodes;
    this.#get = new BlockGet(
      { ...parts, everyNode },
      { hedgeDelayMs: options.hedgeDelayMs ?? HEDGE_DELAY_MS_DEFAULT },
    );
    this.#cache = new BlockCache(options.cacheBytes ?? BLOCK_CACHE_BYTES_DEFAULT);
    this.#getSlots = new Semaphore(options.concurrency ?? GETS_IN_FLIGHT_MAX);
  }

  async put(data: Uint8Array, signal?: AbortSignal): Promise<BlockId> {
    const deadline = this.#deadline('storing a block', signal);
    deadline.check();
    await this.#putBytes.acquire(data.length, deadline);
    try {
      const { id, key } = blockIdOf(data);
      await this.#put.store(id, key, data, deadline);
      this.#counts.puts++;
      this.#counts.putBytes += data.length;
      // The caller may reuse its buffer.
      if (data.length <= BLOCK_CACHE_WRITTEN_BYTES_MAX) this.#cache.put(id, new Uint8Array(data));
      return id;
    } finally {
      this.#putBytes.release(data.length);
    }
  }

  async get(id: BlockId, signal?: AbortSignal): Promise<Uint8Array> {
    this.#counts.gets++;
    const cached = this.#cache.get(id);
    if (cached !== undefined) return cached;
    const deadline = this.#deadline('reading a block', signal);
    deadline.check();
    return await deadline.race(this.#fetchShared(id));
  }

  prefetch(id: BlockId): void {
    if (this.#closed || this.#cache.has(id) || this.#flights.has(id)) return;
    if (this.#prefetching >= PREFETCHES_IN_FLIGHT_MAX) {
      this.#prefetchesDropped++;
      return;
    }
    this.#prefetching++;
    this.#counts.prefetches++;
    const done = (): void => {
      this.#prefetching--;
    };
    this.#fetchShared(id).then(done, (error: unknown) => {
      done();
      this.#c.logger.debug({ err: error, block: id }, 'a block was not fetched ahead');
    });
  }

  stats(): BlockClientStats {
    return {
      ...this.#counts,
      putRetries: this.#put.retries,
      cacheHits: this.#cache.hits,
      cachedBytes: this.#cache.bytes,
      hedges: this.#get.hedges,
      nodesStill: this.#connections.nodesStill,
      copiesMissing: this.#get.missing,
      copiesCorrupt: this.#get.corrupt,
      prefetchesDropped: this.#prefetchesDropped,
      ringLookups: this.#ring.lookups,
      ringRanges: this.#ring.size,
    };
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#connections.close();
    this.#cache.clear();
    return Promise.resolve();
  }

  #deadline(what: string, signal?: AbortSignal): Deadline {
    if (this.#closed) throw new FsError('EIO', 'the client is closed');
    return new Deadline(this.#c.timers, this.#timeoutMs, what, signal);
  }

  /** One fetch for all who want the block. It goes on when one of them gives up: the cache gets it. */
  #fetchShared(id: BlockId): Promise<Uint8Array> {
    let flight = this.#flights.get(id);
    if (flight === undefined) {
      flight = this.#fetch(id).finally(() => {
        this.#flights.delete(id);
      });
      this.#flights.set(id, flight);
    }
    return flight;
  }

  async #fetch(id: BlockId): Promise<Uint8Array> {
    const deadline = this.#deadline('reading a block');
    await this.#getSlots.acquire(1, deadline);
    try {
      const key = blockKey(id);
      const { data, bad } = await this.#get.fetch(id, key, deadline);
      this.#counts.fetchedBytes += data.length;
      if (!this.#closed) this.#cache.put(id, data);
      if (bad.length > 0) void this.#repairOwners(id, key, bad, data);
      return data;
    } finally {
      this.#getSlots.release(1);
    }
  }

  /**
   * In the background: the reader has its data. Only what the ring says now counts: those that do not own the block any more lack nothing,
   * and are not asked the next time. Never rejects.
   */
  async #repairOwners(id: BlockId, key: Uint8Array, bad: readonly string[], data: Uint8Array): Promise<void> {
    if (this.#repairing >= REPAIRS_IN_FLIGHT_MAX) return;
    let owners: readonly string[] = [];
    this.#repairing++;
    try {
      owners = await this.#ring.learn(key, this.#deadline('repairing a block'));
    } catch (error) {
      this.#c.logger.debug({ err: error, block: id }, 'owners of a bad copy not found');
    } finally {
      this.#repairing--;
    }
    for (const address of bad) if (owners.includes(address)) this.#repair(id, key, address, data);
  }

  #repair(id: BlockId, key: Uint8Array, address: string, data: Uint8Array): void {
    if (this.#repairing >= REPAIRS_IN_FLIGHT_MAX) return;
    this.#repairing++;
    this.#put.repair(address, key, data).then(
      () => {
        this.#repairing--;
        this.#counts.repairs++;
        this.#c.logger.info({ block: id, address }, 'a copy of a block was repaired');
      },
      (error: unknown) => {
        this.#repairing--;
        this.#counts.repairsFailed++;
        this.#c.logger.warn({ err: error, block: id, address }, 'a copy of a block was not repaired');
      },
    );
  }
}
