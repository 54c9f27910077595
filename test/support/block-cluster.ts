import { fromHex } from '../../src/base/bytes.ts';
import { seededRandom } from '../../src/base/random.ts';
import { BlockServer } from '../../src/block/block-server.ts';
import { type BlockErrorCode, BlockReply, BlockRequest } from '../../src/gen/ringfs/v1/block.ts';
import type { BlockNodeState } from '../../src/gen/ringfs/v1/meta.ts';
import type { BlockCopy } from '../../src/gen/ringfs/v1/namespace.ts';
import type { RpcConnection } from '../../src/ports/rpc.ts';
import { MemoryBlockStore } from './memory-block-store.ts';
import { MemoryNetwork } from './memory-rpc.ts';
import { RecordingLogger } from './recording-logger.ts';
import type { TestBlock } from './test-blocks.ts';
import { VirtualTimers } from './virtual-timers.ts';

type RequestBody = NonNullable<BlockRequest['body']>;
type ReplyBody = NonNullable<BlockReply['body']>;

export interface ClusterNode {
  readonly name: string;
  readonly address: string;
  readonly store: MemoryBlockStore;
  readonly logger: RecordingLogger;
  server: BlockServer;
}

export interface BlockClusterOptions {
  readonly seed?: number;
  readonly virtualNodes?: number;
  readonly replicas?: number;
  readonly latencyMs?: () => number;
  readonly scrubIntervalMs?: number;
  readonly reconcile?: (copies: readonly BlockCopy[]) => Promise<number>;
  readonly reconcileIntervalMs?: number;
  readonly awaitRegistry?: boolean;
}

/** Block servers with stores in memory over a network in memory, and a client. Time is virtual. */
export class BlockCluster {
  readonly timers = new VirtualTimers();
  readonly network: MemoryNetwork<BlockRequest, BlockReply>;
  readonly nodes = new Map<string, ClusterNode>();
  readonly #options: BlockClusterOptions;
  readonly #connections = new Map<string, RpcConnection<BlockRequest, BlockReply>>();
  readonly #seeds = new Set<string>();
  #starts = 0;

  constructor(options: BlockClusterOptions = {}) {
    this.#options = options;
    this.network = new MemoryNetwork(
      { timers: this.timers },
      {
        latencyMs: options.latencyMs ?? (() => 1),
        copyRequest: (m: BlockRequest) => BlockRequest.decode(BlockRequest.encode(m).finish()),
        copyReply: (m: BlockReply) => BlockReply.decode(BlockReply.encode(m).finish()),
      },
    );
  }

  /** Start nodes; every node started so far is a seed of every other. */
  start(...names: string[]): void {
    for (const name of names) this.#seeds.add(`${name}:1`);
    for (const name of names) {
      const address = `${name}:1`;
      const known = this.nodes.get(name);
      const store = known?.store ?? new MemoryBlockStore();
      const logger = known?.logger ?? new RecordingLogger();
      const server = new BlockServer(
        {
          store,
          connector: this.network.connector(address),
          ...(this.#options.reconcile && { reconcile: this.#options.reconcile }),
          timers: this.timers,
          random: seededRandom((this.#options.seed ?? 1) * 100 + this.#starts++),
          logger,
        },
        {
          nodeId: name,
          address,
          clusterId: 'test',
          seeds: () => [...this.#seeds],
          virtualNodes: this.#options.virtualNodes ?? 8,
          replicas: this.#options.replicas ?? 3,
          scrubIntervalMs: this.#options.scrubIntervalMs ?? 3_600_000,
          reconcileIntervalMs: this.#options.reconcileIntervalMs ?? 3_600_000,
          awaitRegistry: this.#options.awaitRegistry ?? false,
        },
      );
      this.nodes.set(name, { name, address, store, logger, server });
      this.network.listen(address, server.acceptor);
      server.start();
    }
  }

  /**
   * Nodes learn from the registry that all started ones are there and alive, apart from what `changes` says of some; all nodes, or
   * only these.
   */
  tellRegistry(
    changes: Readonly<Record<string, Partial<BlockNodeState> & { readonly domain?: string }>> = {},
    told: readonly string[] = [...this.nodes.keys()],
  ): void {
    const states = [...this.nodes.values()].map(({ name, address }): BlockNodeState => {
      const { domain, ...change } = changes[name] ?? {};
      const virtualNodes = this.#options.virtualNodes ?? 8;
      const info = { id: name, address, capacityBytes: 0, usedBytes: 0, virtualNodes, domain };
      return { info, alive: true, ...change };
    });
    for (const name of told) this.node(name).server.setRegistry(states);
  }

  node(name: string): ClusterNode {
    return this.nodes.get(name)!;
  }

  /** The process ends without a word. Its store stays. */
  async kill(name: string): Promise<void> {
    const node = this.node(name);
    this.network.kill(node.address);
    this.#connections.delete(node.address);
    await this.timers.resolve(node.server.stop());
  }

  /** Until all these nodes agree on a ring of exactly them. */
  async untilRing(names: readonly string[], limitMs = 10_000): Promise<void> {
    const wanted = [...names].sort().join();
    await this.timers.until(
      () =>
        names.every((name) => {
          const { server } = this.node(name);
          return server.joined && server.ringNodes().join() === wanted;
        }),
      limitMs,
      `ring of ${wanted}`,
    );
  }

  async call(name: string, body: RequestBody): Promise<ReplyBody> {
    const { address } = this.node(name);
    let connection = this.#connections.get(address);
    if (connection?.open !== true) {
      connection = await this.timers.resolve(this.network.connector('client').connect(address));
      this.#connections.set(address, connection);
    }
    return this.timers.resolve(connection.call(body, { timeoutMs: 60_000 }));
  }

  put(name: string, block: TestBlock, replicate = true): Promise<ReplyBody> {
    return this.call(name, {
      $case: 'put',
      value: { blockId: fromHex(block.id), data: block.data, replicate },
    });
  }

  get(name: string, block: TestBlock): Promise<ReplyBody> {
    return this.call(name, { $case: 'get', value: { blockId: fromHex(block.id) } });
  }

  /** Names of the nodes that own this block, as `name` answers. */
  async owners(name: string, block: TestBlock, count = 3): Promise<string[]> {
    const reply = await this.call(name, { $case: 'findOwners', value: { key: fromHex(block.id), count } });
    if (reply.$case !== 'owners') throw new Error(`findOwners: ${JSON.stringify(reply)}`);
    if (reply.value.done) return reply.value.owners.map((m) => m.nodeId);
    return this.owners(reply.value.nextHop!.nodeId, block, count);
  }

  holders(block: TestBlock): string[] {
    return [...this.nodes.values()].filter((n) => n.store.blocks.has(block.id)).map((n) => n.name);
  }

  async stop(): Promise<void> {
    for (const node of this.nodes.values()) await this.timers.resolve(node.server.stop());
  }
}

export function errorCode(reply: ReplyBody): BlockErrorCode | undefined {
  return reply.$case === 'error' ? reply.value.code : undefined;
}
