import type { BlockId } from '../../../src/base/ids.ts';
import { BlockServer } from '../../../src/block/block-server.ts';
import type { BlockReply, BlockRequest } from '../../../src/gen/ringfs/v1/block.ts';
import type { BlockCopy } from '../../../src/gen/ringfs/v1/namespace.ts';
import type {
  BlockEntry,
  BlockStore,
  BlockStoreStats,
  DeleteOutcome,
  StoreInspection,
} from '../../../src/ports/block-store.ts';
import type { RpcAcceptor, RpcConnector } from '../../../src/ports/rpc.ts';
import { MemoryBlockStore } from '../../support/memory-block-store.ts';
import type { MemoryNetwork } from '../../support/memory-rpc.ts';
import { SimLogger, SimProcess, type World } from '../harness/world.ts';
import type { BlocksOptions } from './options.ts';

const CAPACITY_BYTES = 64 * 1024 * 1024;
const SCRUB_INTERVAL_MS = 15_000;
const RECONCILE_INTERVAL_MS = 12_000;

export type BlockNetwork = MemoryNetwork<BlockRequest, BlockReply>;

/** What outlives the process. */
export class SimDisk {
  content = new MemoryBlockStore();
  stalledUntilMs = 0;

  set full(full: boolean) {
    this.content.capacityBytes = full ? 0 : CAPACITY_BYTES;
  }

  lose(): void {
    this.content = new MemoryBlockStore();
  }

  has(id: BlockId): boolean {
    return this.content.blocks.has(id);
  }
}

/** The disk as one life of a process uses it: what it has not finished when it dies does not happen. */
class DiskStore implements BlockStore {
  readonly #process: SimProcess;
  readonly #disk: SimDisk;
  readonly #content: MemoryBlockStore;
  readonly #waitMs: () => number;

  constructor(process: SimProcess, disk: SimDisk, waitMs: () => number) {
    this.#process = process;
    this.#disk = disk;
    this.#content = disk.content;
    this.#waitMs = waitMs;
  }

  async put(id: BlockId, data: Uint8Array, uploadedAt?: number): Promise<{ existed: boolean }> {
    await this.#wait();
    return this.#content.put(id, data, uploadedAt);
  }

  async touch(ids: readonly BlockId[], uploadedAt: number): Promise<boolean[]> {
    await this.#wait();
    return this.#content.touch(ids, uploadedAt);
  }

  async get(id: BlockId): Promise<Uint8Array | undefined> {
    await this.#wait();
    return this.#content.get(id);
  }

  has(ids: readonly BlockId[]): Promise<boolean[]> {
    return this.#content.has(ids);
  }

  stat(ids: readonly BlockId[]): Promise<(BlockEntry | undefined)[]> {
    return this.#content.stat(ids);
  }

  async delete(id: BlockId, before?: number): Promise<DeleteOutcome> {
    await this.#wait();
    return this.#content.delete(id, before);
  }

  list(after: BlockId | undefined, until: BlockId | undefined, limit: number): Promise<BlockEntry[]> {
    return this.#content.list(after, until, limit);
  }

  reclaim(): Promise<void> {
    return this.#content.reclaim();
  }

  inspect(): Promise<StoreInspection> {
    return this.#content.inspect();
  }

  stats(): Promise<BlockStoreStats> {
    return this.#content.stats();
  }

  async close(): Promise<void> {}

  async #wait(): Promise<void> {
    const stallMs = Math.max(0, this.#disk.stalledUntilMs - this.#process.world.nowMs);
    await this.#process.sleep(stallMs + this.#waitMs());
  }
}

/** What planted mistakes do to a node. */
export interface NodeTampering {
  store?(store: BlockStore, world: World): BlockStore;
  acceptor?(acceptor: RpcAcceptor<BlockRequest, BlockReply>): RpcAcceptor<BlockRequest, BlockReply>;
  connector?(connector: RpcConnector<BlockRequest, BlockReply>): RpcConnector<BlockRequest, BlockReply>;
}

export interface SimNodeComponents {
  readonly world: World;
  readonly network: BlockNetwork;
  readonly processes: Map<string, SimProcess>;
  readonly seeds: () => readonly string[];
  readonly reconcile: (process: SimProcess, copies: readonly BlockCopy[]) => Promise<number>;
  readonly tampering: NodeTampering;
}

/** A machine with a disk, on which the production block server runs now and then. */
export class SimNode {
  readonly name: string;
  readonly address: string;
  readonly disk = new SimDisk();
  readonly #c: SimNodeComponents;
  readonly #options: BlocksOptions;
  process: SimProcess | undefined;
  server: BlockServer | undefined;
  /** Gone for good, with its disk. */
  retired = false;
  leaving = false;
  startedMs = 0;
  #lives = 0;

  constructor(components: SimNodeComponents, options: BlocksOptions, name: string) {
    this.#c = components;
    this.#options = options;
    this.name = name;
    this.address = `${name}:1`;
    this.disk.full = false;
  }

  get up(): boolean {
    return this.process !== undefined && !this.leaving;
  }

  /** It can answer at this moment. */
  get serving(): boolean {
    return this.up && this.process?.paused === false;
  }

  start(): void {
    if (this.process !== undefined || this.retired) return;
    const { world, network, processes, seeds, tampering } = this.#c;
    this.#lives++;
    const random = world.random(`node ${this.name} ${this.#lives}`);
    const process = new SimProcess(world, this.name, { rate: 1, wallMs: 0 });
    this.process = process;
    this.leaving = false;
    this.startedMs = world.nowMs;
    processes.set(this.address, process);
    const disk = new DiskStore(process, this.disk, () => random.next() * this.#options.diskMs);
    const connector = network.connector(this.address);
    this.server = new BlockServer(
      {
        store: tampering.store?.(disk, world) ?? disk,
        connector: tampering.connector?.(connector) ?? connector,
        reconcile: (copies) => this.#c.reconcile(process, copies),
        timers: process,
        random,
        logger: new SimLogger(process),
      },
      {
        nodeId: this.name,
        address: this.address,
        clusterId: 'sim',
        seeds,
        virtualNodes: this.#options.virtualNodes,
        replicas: this.#options.replicas,
        scrubIntervalMs: SCRUB_INTERVAL_MS,
        reconcileIntervalMs: RECONCILE_INTERVAL_MS,
      },
    );
    const { acceptor } = this.server;
    network.listen(this.address, tampering.acceptor?.(acceptor) ?? acceptor);
    world.trace(`start ${this.name}`);
    this.server.start();
  }

  /** The process ends without a word. */
  kill(): void {
    if (this.process === undefined) return;
    this.#c.world.trace(`${this.name} dies`);
    this.#end();
  }

  /** The process says goodbye to its neighbours. */
  async stop(): Promise<void> {
    const { process, server } = this;
    if (process === undefined || server === undefined || this.leaving) return;
    this.#c.world.trace(`${this.name} leaves`);
    this.leaving = true;
    await server.stop();
    if (this.process === process) this.#end();
  }

  #end(): void {
    const { process } = this;
    if (process !== undefined) process.alive = false;
    this.process = undefined;
    this.server = undefined;
    this.leaving = false;
    this.#c.network.kill(this.address);
  }
}
