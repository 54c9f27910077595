import { unreachable } from '../base/assert.ts';
import {
  BLOCK_GETS_IN_FLIGHT_MAX,
  BLOCK_PUT_BYTES_IN_FLIGHT_MAX,
  BLOCK_REQUESTS_WAITING_MAX,
  GC_GRACE_MS_DEFAULT,
  RECONCILE_INTERVAL_GRACES,
  REPLICAS_DEFAULT,
  SCRUB_BYTES_PER_SECOND_DEFAULT,
  SCRUB_INTERVAL_MS_DEFAULT,
  SURPLUS_GRACE_MS_DEFAULT,
  VIRTUAL_NODES_DEFAULT,
} from '../base/limits.ts';
import type { Random } from '../base/random.ts';
import { type RequestSnapshot, RequestStats } from '../base/request-stats.ts';
import { BlockErrorCode, type BlockReply, type BlockRequest, type NodeInfo } from '../gen/ringfs/v1/block.ts';
import type { BlockNodeState } from '../gen/ringfs/v1/meta.ts';
import { BlockNodeMode, type DrainProgress } from '../gen/ringfs/v1/namespace.ts';
import type { BlockStore } from '../ports/block-store.ts';
import type { Timers } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import type { RpcAcceptor, RpcConnector } from '../ports/rpc.ts';
import type { BlockContext } from './context.ts';
import { handleDelete } from './handlers/delete.ts';
import { handleFindOwners } from './handlers/find-owners.ts';
import { handleGet } from './handlers/get.ts';
import { handleHas } from './handlers/has.ts';
import { handleHello } from './handlers/hello.ts';
import { nodeInfo } from './handlers/info.ts';
import { handleList } from './handlers/list.ts';
import { handlePut } from './handlers/put.ts';
import { handleRing } from './handlers/ring.ts';
import { handleVerify } from './handlers/verify.ts';
import { handleVouch } from './handlers/vouch.ts';
import { LocalBlocks } from './local-blocks.ts';
import { Pace } from './pace.ts';
import { Peers } from './peers.ts';
import { Reconcile, type ReconcileComponents } from './reconcile.ts';
import { RegistryView } from './registry-view.ts';
import { Repair } from './repair.ts';
import { Replication } from './replication.ts';
import { RingDriver } from './ring-driver.ts';
import { Scrub } from './scrub.ts';
import { Semaphore } from './semaphore.ts';
import { Surplus } from './surplus.ts';
import { virtualPositions } from './virtual-positions.ts';
import { errorReply, expectedErrorReply, outcomeOf, type ReplyBody, type RequestBody } from './wire.ts';

export interface BlockServerComponents {
  /** Stays the caller's to close, after `stop`. */
  readonly store: BlockStore;
  readonly connector: RpcConnector<BlockRequest, BlockReply>;
  /** Names copies to the metadata leader, see Reconcile. Without it, unreferenced copies stay. */
  readonly reconcile?: ReconcileComponents['report'];
  readonly timers: Timers;
  readonly random: Random;
  readonly logger: Logger;
}

export interface BlockServerOptions {
  readonly nodeId: string;
  /** host:port at which other nodes and clients reach this node. */
  readonly address: string;
  readonly clusterId: string;
  /** Addresses at which other nodes may be found; may contain this node's own. Asked again and again. */
  readonly seeds: () => readonly string[];
  readonly replicas?: number;
  readonly virtualNodes?: number;
  /** Name shared by nodes that can fail together. */
  readonly domain?: string | undefined;
  /** Pause between two passes of the scrubber. */
  readonly scrubIntervalMs?: number;
  /** What it reads. */
  readonly scrubBytesPerSecond?: number;
  /** Pause between two walks that look for copies without references. */
  readonly reconcileIntervalMs?: number;
  /** Puts wait for the first `setRegistry`. Default: false, for a node without a metadata cluster. */
  readonly awaitRegistry?: boolean;
  /** Copies of blocks that this node does not own any more stay for at least this long. */
  readonly surplusGraceMs?: number;
}

/** One node of the block ring. */
export class BlockServer {
  readonly #components: BlockServerComponents;
  readonly #peers: Peers;
  readonly #ring: RingDriver;
  readonly #repair: Repair;
  readonly #surplus: Surplus;
  readonly #registry: RegistryView;
  readonly #scrub: Scrub;
  readonly #reconcile: Reconcile | undefined;
  readonly #context: BlockContext;
  readonly #requests = new RequestStats();
  #state: 'new' | 'running' | 'stopped' = 'new';

  constructor(components: BlockServerComponents, options: BlockServerOptions) {
    this.#components = components;
    const { store, connector, timers, random, logger } = components;
    const { nodeId, address, clusterId, seeds } = options;
    const replicas = options.replicas ?? REPLICAS_DEFAULT;
    const positions = virtualPositions(nodeId, options.virtualNodes ?? VIRTUAL_NODES_DEFAULT);
    const local = new LocalBlocks({ store, logger });
    this.#peers = new Peers(
      { connector, timers, random, logger },
      {
        nodeId,
        clusterId,
        onDown: (other) => this.#ring.nodeDown(other),
        onUp: (other) => this.#ring.nodeUp(other),
      },
    );
    const peers = this.#peers;
    this.#ring = new RingDriver(
      { peers, timers, logger },
      { nodeId, address, positions, replicas, seeds, onChange: () => this.#ringChanged() },
    );
    const ring = this.#ring;
    const pace = new Pace({ timers });
    this.#registry = new RegistryView({ logger }, { nodeId, replicas });
    this.#repair = new Repair({ ring, peers, local, pace, timers, logger }, { nodeId, replicas });
    const repair = this.#repair;
    const { surplusGraceMs: graceMs = SURPLUS_GRACE_MS_DEFAULT } = options;
    this.#surplus = new Surplus(
      { ring, registry: this.#registry, peers, local, pace, timers, logger },
      { nodeId, replicas, graceMs },
    );
    const surplus = this.#surplus;
    this.#scrub = new Scrub(
      { local, repair, timers, random, logger, joined: () => ring.joined },
      {
        intervalMs: options.scrubIntervalMs ?? SCRUB_INTERVAL_MS_DEFAULT,
        bytesPerSecond: options.scrubBytesPerSecond ?? SCRUB_BYTES_PER_SECOND_DEFAULT,
      },
    );
    const scrub = this.#scrub;
    this.#reconcile =
      components.reconcile &&
      new Reconcile(
        { store, report: components.reconcile, timers, logger },
        { intervalMs: options.reconcileIntervalMs ?? RECONCILE_INTERVAL_GRACES * GC_GRACE_MS_DEFAULT },
      );
    const replication = new Replication(
      {
        ...{ ring, registry: this.#registry, peers, local, logger },
        onMissingCopy: (id) => repair.missingCopy(id),
      },
      { nodeId, replicas, awaitRegistry: options.awaitRegistry ?? false },
    );
    const gets = new Semaphore(BLOCK_GETS_IN_FLIGHT_MAX, BLOCK_REQUESTS_WAITING_MAX);
    const copyBytes = new Semaphore(BLOCK_PUT_BYTES_IN_FLIGHT_MAX, BLOCK_REQUESTS_WAITING_MAX);
    const { domain } = options;
    const registry = this.#registry;
    const own = { nodeId, address, clusterId, domain, replicas };
    const work = { replication, repair, surplus, scrub };
    this.#context = { ...own, ...work, ring, local, registry, pace, gets, copyBytes };
  }

  /** The service that other nodes and clients connect to. */
  readonly acceptor: RpcAcceptor<BlockRequest, BlockReply> = () => ({
    onRequest: (body) => this.#count(body),
    onClose: () => {},
  });

  /** Join the ring. Returns at once: `info().joined` tells when it has. */
  start(): void {
    this.#state = 'running';
    this.#ring.start();
    this.#repair.start();
    this.#surplus.start();
    this.#scrub.start();
    this.#reconcile?.start();
  }

  /**
   * What the metadata cluster's registry says of all block nodes: where blocks belong from now on. It is asked for anew only when
   * the last answer has been given here.
   */
  setRegistry(nodes: readonly BlockNodeState[]): void {
    if (this.#state !== 'running') return;
    const placement = this.#registry.update(nodes);
    if (placement !== undefined) this.#ring.place(placement);
    this.#surplus.registryHeard(placement !== undefined);
    const { own, ownersExpected } = this.#registry;
    const draining = own?.mode === BlockNodeMode.DRAINING;
    this.#repair.setDrain(draining, own?.agreed === true, ownersExpected);
  }

  /** For this node's report to the registry. */
  async registryDetails(): Promise<{ readonly placedAt: number; readonly drain: DrainProgress | undefined }> {
    const drain = await this.#repair.drainProgress();
    return { placedAt: this.#registry.placedAt, drain };
  }

  /** Looks for copies without references soon, and gives back the space of deleted ones now. Throws BlockStoreError. */
  async reclaim(): Promise<void> {
    this.#reconcile?.kick();
    await this.#components.store.reclaim();
  }

  /** Leave the ring and end all work. The blocks stay on the disk. */
  async stop(): Promise<void> {
    if (this.#state !== 'running') return;
    this.#state = 'stopped';
    await Promise.all([
      this.#repair.stop(),
      this.#surplus.stop(),
      this.#scrub.stop(),
      this.#reconcile?.stop(),
    ]);
    await this.#ring.leave();
    this.#ring.stop();
    this.#peers.close();
  }

  #ringChanged(): void {
    this.#repair.ringChanged();
    this.#surplus.ringChanged();
  }

  /** Whether this node is part of a ring. */
  get joined(): boolean {
    return this.#ring.joined;
  }

  /** Names of the nodes whose blocks this node's neighbourhood of the ring serves, its own included, in order. */
  ringNodes(): string[] {
    return [...new Set([...this.#ring.core.machines, this.#context.nodeId])].sort();
  }

  info(withRing = false): Promise<NodeInfo> {
    return nodeInfo(this.#context, { withRing });
  }

  /** What was asked of this node since it started, and how it ended. */
  requests(): readonly RequestSnapshot[] {
    return this.#requests.snapshot();
  }

  async #count(body: RequestBody): Promise<ReplyBody> {
    const { timers } = this.#components;
    const startMs = timers.nowMs();
    const reply = await this.#answer(body);
    this.#requests.note(body.$case, timers.nowMs() - startMs, outcomeOf(reply));
    return reply;
  }

  async #answer(body: RequestBody): Promise<ReplyBody> {
    if (this.#state !== 'running') return errorReply(BlockErrorCode.UNAVAILABLE, 'block node is not running');
    try {
      return await this.#handle(body);
    } catch (error) {
      const reply = expectedErrorReply(error);
      if (reply !== undefined) return reply;
      this.#components.logger.error({ error, request: body.$case }, 'block request failed');
      return errorReply(BlockErrorCode.IO, 'internal error');
    }
  }

  async #handle(body: RequestBody): Promise<ReplyBody> {
    const context = this.#context;
    switch (body.$case) {
      case 'put':
        return handlePut(context, body.value);
      case 'get':
        return handleGet(context, body.value);
      case 'has':
        return handleHas(context, body.value);
      case 'findOwners':
        return handleFindOwners(context, body.value);
      case 'ring':
        return handleRing(context, body.value);
      case 'list':
        return handleList(context, body.value);
      case 'info':
        return { $case: 'info', value: await nodeInfo(context, body.value) };
      case 'delete':
        return handleDelete(context, body.value);
      case 'verify':
        return handleVerify(context, body.value);
      case 'vouch':
        return handleVouch(context, body.value);
      case 'hello':
        return handleHello(context, body.value);
      default:
        return unreachable(body);
    }
  }
}
