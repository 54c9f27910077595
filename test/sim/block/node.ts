import { defined } from '../../../src/base/assert.ts';
import { BlockServer } from '../../../src/block/block-server.ts';
import { virtualPositions } from '../../../src/block/virtual-positions.ts';
import type { Position } from '../../../src/core/chord/identifiers.ts';
import type { BlockReply, BlockRequest } from '../../../src/gen/ringfs/v1/block.ts';
import type { BlockNodeState } from '../../../src/gen/ringfs/v1/meta.ts';
import { type BlockCopy, type BlockNodeInfo, BlockNodeMode } from '../../../src/gen/ringfs/v1/namespace.ts';
import type { ReportDetails } from '../../../src/meta/block-node-registry.ts';
import { isPassing } from '../../../src/meta/replica.ts';
import type { BlockEntry, BlockStore } from '../../../src/ports/block-store.ts';
import { type RpcAcceptor, type RpcConnector, RpcError } from '../../../src/ports/rpc.ts';
import type { MemoryNetwork } from '../../support/memory-rpc.ts';
import { SimLogger, SimProcess, Violation, type World } from '../harness/world.ts';
import { DiskStore, SimDisk } from './disk.ts';
import type { BlocksOptions } from './options.ts';

const SCRUB_INTERVAL_MS = 15_000;
const RECONCILE_INTERVAL_MS = 12_000;
const REPORT_INTERVAL_MS = 1_000;

export type BlockNetwork = MemoryNetwork<BlockRequest, BlockReply>;

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
  /** It has deleted a copy as surplus. */
  readonly onDrop: (node: SimNode, entry: BlockEntry) => void;
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
    this.disk.restarted();
    const acceptor: RpcAcceptor<BlockRequest, BlockReply> = (peer) => ({
      onRequest: (body) => {
        const serve = () => defined(this.server, 'server of a living node').acceptor(peer).onRequest(body);
        return body.$case === 'delete' ? this.disk.collect(body.value.blockIds, serve) : serve();
      },
      onClose: () => {},
    });
    network.listen(this.address, tampering.acceptor?.(acceptor) ?? acceptor);
    void this.#report(process);
  }

  #serve(process: SimProcess): void {
    const { world, network, seeds, tampering } = this.#c;
    this.#servers++;
    const random = world.random(`node ${this.name} ${this.#servers}`);
    const disk = new DiskStore(process, this.disk, {
      waitMs: () => random.next() * this.#options.diskMs,
      onDrop: (entry) => this.#c.onDrop(this, entry),
    });
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
        surplusGraceMs: this.#options.surplusGraceMs,
        awaitRegistry: true,
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
