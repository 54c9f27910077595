import { hostname } from 'node:os';
import path from 'node:path';
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import type { ServerId } from '../base/ids.ts';
import { RECONCILE_INTERVAL_GRACES } from '../base/limits.ts';
import { BlockServer } from '../block/block-server.ts';
import { BlockConnections } from '../client/connections.ts';
import { MetaObserver } from '../client/meta-observer.ts';
import { ReadPoints } from '../client/read-points.ts';
import type { Founders } from '../core/formation/decide.ts';
import type { GarbageReply, GarbageRequest, ServerStatus } from '../gen/ringfs/v1/admin.ts';
import type { NodeInfo } from '../gen/ringfs/v1/block.ts';
import type { BlockNodeState } from '../gen/ringfs/v1/meta.ts';
import { type BlockCopy, BlockNodeMode } from '../gen/ringfs/v1/namespace.ts';
import { blockConnector, metaConnector } from '../io/grpc/connectors.ts';
import { GrpcRaftTransport } from '../io/grpc/raft-transport.ts';
import { type AdminHandlers, GrpcServer, ListenError } from '../io/grpc/server.ts';
import { jitterRandom, systemRandom } from '../io/os/system-random.ts';
import { SystemTimers } from '../io/os/system-timers.ts';
import { openMetaStorage } from '../io/rocksdb/meta-storage.ts';
import { QUARANTINE_FOLDER } from '../io/segments/files.ts';
import { openBlockStore } from '../io/segments/open-block-store.ts';
import { changeMembers } from '../meta/change-members.ts';
import { Dumps, dumpOf } from '../meta/maintenance/dumps.ts';
import { MetaServer } from '../meta/meta-server.ts';
import type { Failpoint } from '../meta/raft/failpoint.ts';
import { RaftReplica } from '../meta/raft/raft-replica.ts';
import type { BlockStore } from '../ports/block-store.ts';
import type { TimerHandle } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import type { Health, MetricFamily, MetricsSource } from '../ports/metrics.ts';
import { CliError } from './cli-error.ts';
import { asksBy, deletesBy } from './copies-by-rpc.ts';
import { type FailpointSpec, failpointOf } from './failpoint.ts';
import { FirstStart } from './first-start.ts';
import { serverMetrics } from './server-metrics.ts';
import type { Peer, Role } from './values.ts';

export interface ServerOptions {
  readonly id: string;
  readonly roles: readonly Role[];
  /** Where to bind. */
  readonly listen: string;
  /** Where others reach it. */
  readonly advertise: string;
  readonly data: string;
  /** The meta servers that a new cluster begins with, this one included when it has that role. Empty for a server that joins. */
  readonly peers: readonly Peer[];
  /** Servers of the cluster, to be asked for more. */
  readonly contacts: readonly string[];
  readonly clusterId: string;
  readonly replicas: number;
  readonly capacityBytes: number | undefined;
  readonly virtualNodes: number;
  /** Name shared by nodes that can fail together. */
  readonly domain?: string | undefined;
  /** How long blocks without references are kept. */
  readonly gcGraceMs: number;
  /** Between two passes of the scrubber, and what it reads. */
  readonly scrubIntervalMs: number;
  readonly scrubBytesPerSecond: number;
  readonly version: string;
  /** For tests: this process is to die there. */
  readonly failpoint?: FailpointSpec;
}

const REMOVED_MESSAGE =
  'this block node was removed from the cluster: it serves no blocks until an operator takes it back';

/** A block node tells the metadata cluster of itself this often, and learns of the others. */
const REPORT_INTERVAL_MS = 1_000;

interface MetaRole {
  readonly replica: RaftReplica;
  readonly server: MetaServer;
  readonly transport: GrpcRaftTransport;
  readonly dumps: Dumps;
  readonly blockNodes: BlockConnections;
  readonly readPoints: ReadPoints;
}

interface BlockRole {
  readonly store: BlockStore;
  /** Another one after the node was removed and taken back. */
  server: BlockServer;
  readonly newServer: () => BlockServer;
  /** An operator has removed this node: it serves no blocks. */
  removed: boolean;
  readonly observer: MetaObserver;
  readonly reconciler: MetaObserver;
}

/** Why a block node must not serve: it would look for and place copies where the others do not. */
export function replicasMismatch(own: number, cluster: number): string | undefined {
  // 0: the cluster has not been initialised yet.
  if (cluster === 0 || own === cluster) return undefined;
  return `--replicas is ${own}, but the cluster keeps ${cluster} copies of each block: start this server with --replicas ${cluster}`;
}

function withoutLeader(role: string, { id, advertise }: ServerOptions): string {
  if (role === 'joining') return `waits to be added: ringfs cluster add ${id}=${advertise}`;
  if (role === 'removed') return 'was removed from the metadata cluster and can be stopped';
  return 'no leader is known';
}

/** One server process: the composition of its roles with the adapters of this machine. */
export class ServerProcess implements MetricsSource {
  readonly #options: ServerOptions;
  readonly #logger: Logger;
  readonly #timers = new SystemTimers();
  readonly #random = jitterRandom();
  readonly #eventLoop: IntervalHistogram = monitorEventLoopDelay({ resolution: 10 });
  readonly #grpc: GrpcServer;
  readonly #startedMs: number;
  #firstStart: FirstStart | undefined;
  #listening = false;
  #meta: MetaRole | undefined;
  #block: BlockRole | undefined;
  #reportTimer: TimerHandle | undefined;
  #knownNodes: readonly string[] = [];
  #state: 'starting' | 'running' | 'stopping' = 'starting';
  /** Resolves with the reason when the process had better end, since it can do nothing useful any more. */
  readonly failed: Promise<string>;
  #fail: (reason: string) => void = () => undefined;

  constructor(options: ServerOptions, logger: Logger) {
    this.#options = options;
    this.#logger = logger;
    this.failed = new Promise((resolve) => {
      this.#fail = resolve;
    });
    this.#grpc = new GrpcServer({ logger });
    this.#startedMs = this.#timers.nowMs();
  }

  /** Recovers from disk and serves. Throws CliError, StartStoppedError, and what the stores say of a damaged directory. */
  async start(): Promise<void> {
    const { id, clusterId, data, peers, roles } = this.#options;
    const firstStart = new FirstStart(
      { timers: this.#timers, logger: this.#logger },
      { id, clusterId, data, peers, meta: roles.includes('meta') },
    );
    this.#firstStart = firstStart;
    this.#eventLoop.enable();
    this.#grpc.addAdmin(this.#adminHandlers(firstStart));
    const founders = await firstStart.founders(() => this.#listen());
    await this.#openRoles(firstStart, founders);
    await this.#listen();
    if (this.#meta !== undefined) {
      this.#meta.server.start();
      await this.#meta.replica.start();
    }
    if (this.#block !== undefined) {
      this.#block.server.start();
      this.#reportSoon(0);
    }
    this.#state = 'running';
  }

  /** Ends a start that waits for other servers, which rejects with StartStoppedError then. */
  stopWaiting(): void {
    this.#firstStart?.stop();
  }

  async #openRoles(firstStart: FirstStart, founders: Founders): Promise<void> {
    const { roles } = this.#options;
    if (roles.includes('meta')) this.#meta = await this.#openMeta(firstStart, founders);
    if (roles.includes('block')) this.#block = await this.#openBlock();
    if (this.#meta !== undefined) {
      this.#grpc.addMeta(this.#meta.server.accept);
      this.#grpc.addRaft(this.#meta.replica);
    }
    const block = this.#block;
    if (block === undefined) return;
    this.#grpc.addBlock((peer) => ({
      onRequest: (body) => block.server.acceptor(peer).onRequest(body),
      onClose: () => undefined,
    }));
  }

  async #listen(): Promise<void> {
    if (this.#listening) return;
    try {
      await this.#grpc.listen(this.#options.listen);
    } catch (error) {
      if (!(error instanceof ListenError)) throw error;
      throw new CliError(
        error.message,
        'another process uses the port, or the address is not of this machine; choose another with --listen',
      );
    }
    this.#listening = true;
  }

  #adminHandlers(firstStart: FirstStart): AdminHandlers {
    return {
      status: () => this.status(),
      changeMembers: async (request) => {
        if (this.#meta !== undefined) return await changeMembers(this.#meta.replica, request);
        return { result: { $case: 'refused', value: this.#withoutMetadata() } };
      },
      dump: async () => {
        if (this.#meta === undefined) throw new Error(this.#withoutMetadata());
        return await this.#meta.dumps.open();
      },
      garbage: (request) => this.#garbage(request),
      manageBlockNodes: async (request) => {
        if (this.#meta !== undefined) return await this.#meta.server.blockNodes(request);
        const reason = this.#withoutMetadata();
        return { result: { $case: 'refused', value: { reason, hint: 'ask a server with the role meta' } } };
      },
      formation: async (request) => firstStart.answer(request),
    };
  }

  #withoutMetadata(): string {
    const { id, roles } = this.#options;
    if (roles.includes('meta')) return `${id} has not started yet`;
    return `${id} has no metadata; ask a server with the role meta`;
  }

  async #openMeta(firstStart: FirstStart, founders: Founders): Promise<MetaRole> {
    const { id, clusterId, peers, advertise, data, replicas } = this.#options;
    const serverId = id as ServerId;
    const logger = this.#logger;
    let replica: RaftReplica | undefined;
    const transport = new GrpcRaftTransport(
      { logger, onUnreachable: (peer) => replica?.reportUnreachable(peer) },
      { id: serverId, address: advertise, clusterId },
    );
    const storage = await openMetaStorage(path.join(data, 'meta'), {
      onDamaged: (error) => replica?.damaged(error.message),
    });
    replica = new RaftReplica(
      {
        timers: this.#timers,
        random: this.#random,
        logger,
        transport,
        storage,
        onFailed: (reason) => this.#fail(`the metadata replica ${reason}`),
        ...(!firstStart.restarts && { beforeTakingPart: () => firstStart.record(founders) }),
        ...this.#failpoint(() => replica?.isLeader() === true),
      },
      {
        id: serverId,
        clusterId,
        replicas,
        restarts: firstStart.restarts,
        members: peers.map((peer) => ({ id: peer.id as ServerId, address: peer.address })),
      },
    );
    const blockNodes = new BlockConnections(
      { connector: blockConnector(), timers: this.#timers, random: this.#random, logger },
      { clientName: `meta server ${id}`, clusterId },
    );
    const readPoints = new ReadPoints(
      { connector: metaConnector(), timers: this.#timers, random: this.#random, logger },
      { name: `reads at ${id}`, clusterId },
    );
    const server = new MetaServer({
      replica,
      askLeader: readPoints.ask,
      connector: metaConnector(),
      timers: this.#timers,
      random: this.#random,
      logger,
      garbage: { graceMs: this.#options.gcGraceMs, deleteCopies: deletesBy(blockNodes) },
      hasCopies: asksBy(blockNodes),
    });
    return {
      replica,
      server,
      transport,
      dumps: new Dumps(dumpOf(replica, server.unleased)),
      blockNodes,
      readPoints,
    };
  }

  #failpoint(isLeader: () => boolean): { readonly failpoint?: Failpoint } {
    const { failpoint } = this.#options;
    if (failpoint === undefined) return {};
    this.#logger.warn(failpoint, 'a failpoint is set: this process will kill itself');
    return { failpoint: failpointOf(failpoint, isLeader, () => process.kill(process.pid, 'SIGKILL')) };
  }

  async #openBlock(): Promise<BlockRole> {
    const { id, clusterId, contacts, advertise, data, replicas, virtualNodes, capacityBytes } = this.#options;
    const logger = this.#logger;
    const directory = path.join(data, 'block');
    const onIndexDamaged = (reason: string): void =>
      this.#fail(`the index of the blocks is damaged, and the next start builds it again: ${reason}`);
    const store = await openBlockStore(
      directory,
      { timers: this.#timers, random: systemRandom, logger, onIndexDamaged },
      { clusterId, nodeId: id, ...(capacityBytes === undefined ? {} : { capacityBytes }) },
    );
    const seeds = (): readonly string[] =>
      [...new Set([...this.#knownNodes, ...contacts])].filter((address) => address !== advertise);
    const parts = { timers: this.#timers, random: this.#random, logger };
    const observer = new MetaObserver(
      { connector: metaConnector(), ...parts },
      { addresses: contacts, name: `block node ${id}`, clusterId },
    );
    // Of its own: a walk must not hold the reports up.
    const reconciler = new MetaObserver(
      { connector: metaConnector(), ...parts },
      { addresses: contacts, name: `copies of block node ${id}`, clusterId },
    );
    const reconcile = (copies: readonly BlockCopy[]): Promise<number> => reconciler.reconcile(copies);
    const reconcileIntervalMs = RECONCILE_INTERVAL_GRACES * this.#options.gcGraceMs;
    const { domain } = this.#options;
    const newServer = (): BlockServer =>
      new BlockServer(
        { store, connector: blockConnector(), reconcile, ...parts },
        {
          nodeId: id,
          address: advertise,
          clusterId,
          replicas,
          virtualNodes,
          domain,
          seeds,
          reconcileIntervalMs,
          scrubIntervalMs: this.#options.scrubIntervalMs,
          scrubBytesPerSecond: this.#options.scrubBytesPerSecond,
          awaitRegistry: true,
        },
      );
    return { store, server: newServer(), newServer, removed: false, observer, reconciler };
  }

  #reportSoon(delayMs: number): void {
    this.#reportTimer = this.#timers.after(delayMs, () => {
      this.#report().then(
        () => this.#reportSoon(REPORT_INTERVAL_MS),
        (error: unknown) => {
          if (this.#state === 'stopping') return;
          this.#logger.debug({ err: error }, 'no leader took the report of this block node');
          this.#reportSoon(REPORT_INTERVAL_MS);
        },
      );
    });
  }

  async #report(): Promise<void> {
    const block = this.#block;
    if (block === undefined || this.#state === 'stopping') return;
    const { id, advertise, virtualNodes, replicas, domain } = this.#options;
    const { fileBytes, capacityBytes, availableBytes } = await block.store.stats();
    const reply = await block.observer.report(
      {
        id,
        address: advertise,
        virtualNodes,
        capacityBytes,
        usedBytes: fileBytes,
        availableBytes,
        domain,
      },
      await block.server.registryDetails(),
    );
    const mismatch = replicasMismatch(replicas, reply.replicas);
    if (mismatch !== undefined) return this.#fail(mismatch);
    const serving = reply.nodes.filter((node) => node.mode !== BlockNodeMode.REMOVED);
    this.#knownNodes = serving.flatMap((node) => (node.info === undefined ? [] : [node.info.address]));
    await this.#followRegistry(block, reply.nodes);
  }

  /** Places blocks by the registry, and leaves the ring or comes back as it says. */
  async #followRegistry(block: BlockRole, nodes: readonly BlockNodeState[]): Promise<void> {
    const { id } = this.#options;
    if (this.#isStopping()) return;
    const removed = nodes.find((node) => node.info?.id === id)?.mode === BlockNodeMode.REMOVED;
    if (removed && !block.removed) {
      block.removed = true;
      this.#logger.error({ id }, REMOVED_MESSAGE);
      await block.server.stop();
    } else if (!removed && block.removed) {
      block.removed = false;
      block.server = block.newServer();
      block.server.start();
      this.#logger.info({ id }, 'this block node was taken back and joins the ring again');
    }
    block.server.setRegistry(nodes);
  }

  #isStopping(): boolean {
    return this.#state === 'stopping';
  }

  async status(): Promise<ServerStatus> {
    const { id, advertise, roles, clusterId, version } = this.#options;
    // The first election begins while this server is still starting.
    const raft = this.#meta?.replica.started === true ? this.#meta.replica.status() : undefined;
    const block = await this.#block?.server.info(true);
    const health = this.#health(block);
    return {
      id,
      pid: process.pid,
      host: hostname(),
      address: advertise,
      roles: [...roles],
      health: health.status,
      healthDetail: health.detail,
      clusterId,
      version,
      uptimeMs: Math.round(this.#timers.nowMs() - this.#startedMs),
      rssBytes: process.memoryUsage.rss(),
      eventLoopP99Ms: this.#eventLoop.percentile(99) / 1e6,
      raft: raft === undefined ? undefined : { ...raft, sessions: this.#meta?.server.stats().sessions ?? 0 },
      block,
      metaMembers: (this.#meta?.replica.members() ?? []).map((member) => ({
        id: member.id,
        address: member.address,
      })),
    };
  }

  async health(): Promise<Health> {
    return this.#health(await this.#block?.server.info());
  }

  async metrics(): Promise<readonly MetricFamily[]> {
    const [meta, block] = [this.#meta, this.#block];
    const status = await this.status();
    return serverMetrics({
      status,
      ...(meta && {
        meta: {
          server: meta.server.stats(),
          requests: meta.server.requestsByKind(),
          raft: meta.replica.counters(),
        },
      }),
      ...(block && { blockRequests: block.server.requests() }),
    });
  }

  async #garbage({ dryRun }: GarbageRequest): Promise<GarbageReply> {
    const cluster = await this.#meta?.server.garbage(!dryRun);
    const block = this.#block;
    if (block === undefined) return { cluster, node: undefined };
    if (!dryRun) await block.server.reclaim();
    const { nodeId, blocks, storedBytes, fileBytes, deadBytes, deletedBlocks, deletedBytes } =
      await block.server.info();
    const node = {
      id: nodeId,
      blocks,
      storedBytes,
      fileBytes: fileBytes ?? 0,
      deadBytes: deadBytes ?? 0,
      deletedBlocks: deletedBlocks ?? 0,
      deletedBytes: deletedBytes ?? 0,
    };
    return { cluster, node };
  }

  #health(block: NodeInfo | undefined): Health {
    const waiting = this.#firstStart?.waiting ?? [];
    if (waiting.length > 0)
      return { status: this.#state, detail: `waits for ${waiting.join(', ')}: see its log` };
    if (this.#state !== 'running') return { status: this.#state, detail: '' };
    const meta = this.#meta?.replica.health();
    if (meta !== undefined && meta.status !== 'ok') return meta;
    if (this.#block?.removed === true) {
      const { id } = this.#options;
      const detail = `block node ${id} was removed and serves no blocks: stop it, or take it back: ringfs node add ${id}`;
      return { status: 'degraded', detail };
    }
    const wrong = block === undefined ? undefined : this.#damageOf(block);
    if (wrong !== undefined) return { status: 'degraded', detail: wrong };
    const replica = this.#meta?.replica;
    if (replica !== undefined && replica.leader() === undefined)
      return { status: 'degraded', detail: withoutLeader(replica.status().role, this.#options) };
    return { status: 'ok', detail: '' };
  }

  #damageOf({ readOnly, badCopies = 0, quarantinedSegments = 0 }: NodeInfo): string | undefined {
    if (readOnly) return 'the disk is full: no blocks are accepted';
    if (badCopies > 0)
      return `${badCopies} damaged copies of blocks, and no good ones from other nodes: see ringfs fsck`;
    if (quarantinedSegments === 0) return undefined;
    const folder = path.join(this.#options.data, 'block', QUARANTINE_FOLDER);
    return `${quarantinedSegments} damaged segments are set aside in ${folder}: check the disk, then remove them`;
  }

  /** Finishes what is being written. Idempotent. */
  async stop(): Promise<void> {
    if (this.#state === 'stopping') return;
    this.#state = 'stopping';
    this.stopWaiting();
    this.#reportTimer?.cancel();
    this.#block?.observer.close();
    this.#block?.reconciler.close();
    this.#meta?.server.stop();
    this.#meta?.blockNodes.close();
    this.#meta?.readPoints.close();
    await this.#block?.server.stop();
    await this.#meta?.replica.stop();
    await this.#meta?.transport.close();
    await this.#block?.store.close();
    this.#grpc.close();
    this.#eventLoop.disable();
  }
}
