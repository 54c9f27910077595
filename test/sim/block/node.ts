import { defined } from '../../../src/base/assert.ts';
import type { BlockId } from '../../../src/base/ids.ts';
import { BlockServer } from '../../../src/block/block-server.ts';
import { virtualPositions } from '../../../src/block/virtual-positions.ts';
import type { Position } from '../../../src/core/chord/identifiers.ts';
import type { BlockReply, BlockRequest } from '../../../src/gen/ringfs/v1/block.ts';
import type { BlockNodeState } from '../../../src/gen/ringfs/v1/meta.ts';
import { type BlockCopy, type BlockNodeInfo, BlockNodeMode } from '../../../src/gen/ringfs/v1/namespace.ts';
import type { ReportDetails } from '../../../src/meta/block-node-registry.ts';
import { isPassing } from '../../../src/meta/replica.ts';
import type {
  BlockEntry,
  BlockStore,
  BlockStoreStats,
  DeleteOutcome,
  StoreInspection,
} from '../../../src/ports/block-store.ts';
import { type RpcAcceptor, type RpcConnector, RpcError } from '../../../src/ports/rpc.ts';
import { MemoryBlockStore } from '../../support/memory-block-store.ts';
import type { MemoryNetwork } from '../../support/memory-rpc.ts';
import { SimLogger, SimProcess, Violation, type World } from '../harness/world.ts';
import type { BlocksOptions } from './options.ts';

const CAPACITY_BYTES = 64 * 1024 * 1024;
const SCRUB_INTERVAL_MS = 15_000;
const RECONCILE_INTERVAL_MS = 12_000;
const REPORT_INTERVAL_MS = 1_000;

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
  report?(details: ReportDetails): ReportDetails;
}

export interface SimNodeComponents {
  readonly world: World;
  readonly network: BlockNetwork;
  readonly processes: Map<string, SimProcess>;
  readonly seeds: () => readonly string[];
  readonly reconcile: (process: SimProcess, copies: readonly BlockCopy[]) => Promise<number>;
  /** Tells the metadata leader how the node is. */
  readonly report: (
    from: SimProcess,
    info: BlockNodeInfo,
    details: ReportDetails,
  ) => Promise<readonly BlockNodeState[]>;
  readonly tampering: NodeTampering;
}

export interface SimMachine {
  readonly name: string;
  /** Follows capacity. */
  readonly virtualNodes: number;
  /** Failure domain. */
  readonly domain: string | undefined;
}

/** A machine with a disk, on which the production block server runs now and then. */
export class SimNode {
  readonly name: string;
  readonly address: string;
  readonly positions: readonly Position[];
  readonly disk = new SimDisk();
  readonly #c: SimNodeComponents;
  readonly #options: BlocksOptions;
  readonly #machine: SimMachine;
  process: SimProcess | undefined;
  server: BlockServer | undefined;
  /** Gone for good, with its disk. */
  retired = false;
  /** An operator has removed it: what it has does not count until it is taken back. */
  removed = false;
  leaving = false;
  startedMs = 0;
  /** It knows that it was removed, and does not serve. */
  #out = false;
  #servers = 0;

  constructor(components: SimNodeComponents, options: BlocksOptions, machine: SimMachine) {
    this.#c = components;
    this.#options = options;
    this.#machine = machine;
    this.name = machine.name;
    this.address = `${machine.name}:1`;
    this.positions = virtualPositions(machine.name, machine.virtualNodes);
    this.disk.full = false;
  }

  get up(): boolean {
    return this.process !== undefined && !this.leaving;
  }

  /** Its disk is one that blocks are to be on. */
  get isMember(): boolean {
    return !this.retired && !this.removed;
  }

  /** It can answer at this moment. */
  get serving(): boolean {
    return this.up && !this.#out && this.isMember && this.process?.paused === false;
  }

  start(): void {
    if (this.process !== undefined || this.retired) return;
    const { world, processes, network, tampering } = this.#c;
    const process = new SimProcess(world, this.name, { rate: 1, wallMs: 0 });
    this.process = process;
    this.leaving = false;
    this.#out = false;
    this.startedMs = world.nowMs;
    processes.set(this.address, process);
    world.trace(`start ${this.name}`);
    this.#serve(process);
    // Streams outlive a server that is stopped and replaced.
    const acceptor: RpcAcceptor<BlockRequest, BlockReply> = (peer) => ({
      onRequest: (body) => defined(this.server, 'server of a living node').acceptor(peer).onRequest(body),
      onClose: () => {},
    });
    network.listen(this.address, tampering.acceptor?.(acceptor) ?? acceptor);
    void this.#report(process);
  }

  #serve(process: SimProcess): void {
    const { world, network, seeds, tampering } = this.#c;
    this.#servers++;
    const random = world.random(`node ${this.name} ${this.#servers}`);
    const disk = new DiskStore(process, this.disk, () => random.next() * this.#options.diskMs);
    const connector = network.connector(this.address);
    const server = new BlockServer(
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
        virtualNodes: this.#machine.virtualNodes,
        domain: this.#machine.domain,
        replicas: this.#options.replicas,
        scrubIntervalMs: SCRUB_INTERVAL_MS,
        reconcileIntervalMs: RECONCILE_INTERVAL_MS,
      },
    );
    this.server = server;
    server.start();
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

  /** Tells the leader how it is now and then, and does what the registry says, as the server's process does it. */
  async #report(process: SimProcess): Promise<void> {
    const { world, tampering } = this.#c;
    const { name: id, address } = this;
    const { virtualNodes, domain } = this.#machine;
    // Amounts would only add commits.
    const info: BlockNodeInfo = { id, address, virtualNodes, domain, capacityBytes: 1, usedBytes: 0 };
    for (;;) {
      try {
        const { server } = this;
        if (this.process !== process || this.leaving || server === undefined) return;
        const details = await server.registryDetails();
        const states = await this.#c.report(process, info, tampering.report?.(details) ?? details);
        if (this.process === process && !this.leaving) await this.#heed(process, states);
      } catch (error) {
        if (!isPassing(error) && !(error instanceof RpcError)) {
          world.fail(new Violation('simulation', `report of ${id}: ${String(error)}`, { cause: error }));
        }
      }
      await process.sleep(REPORT_INTERVAL_MS);
    }
  }

  async #heed(process: SimProcess, states: readonly BlockNodeState[]): Promise<void> {
    const removed = states.find(({ info }) => info?.id === this.name)?.mode === BlockNodeMode.REMOVED;
    if (removed && !this.#out) {
      this.#c.world.trace(`${this.name} learns that it was removed`);
      this.#out = true;
      await this.server?.stop();
    } else if (!removed && this.#out) {
      this.#out = false;
      this.#serve(process);
    }
    this.server?.setRegistry(states);
  }
}
