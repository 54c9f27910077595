import { hostname } from 'node:os';
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import type { Founders } from '../../core/formation/decide.ts';
import type { GarbageReply, GarbageRequest, ServerStatus } from '../../gen/ringfs/v1/admin.ts';
import type { NodeInfo } from '../../gen/ringfs/v1/block.ts';
import { type AdminHandlers, GrpcServer, ListenError } from '../../io/grpc/server.ts';
import { jitterRandom } from '../../io/os/system-random.ts';
import { SystemTimers } from '../../io/os/system-timers.ts';
import { changeMembers } from '../../meta/change-members.ts';
import type { Logger } from '../../ports/logger.ts';
import type { Health, MetricFamily, MetricsSource } from '../../ports/metrics.ts';
import { CliError } from '../cli-error.ts';
import { BlockRole } from './block-role.ts';
import { FirstStart } from './first-start.ts';
import { MetaRole } from './meta-role.ts';
import type { RoleComponents } from './role-components.ts';
import { serverMetrics } from './server-metrics.ts';
import type { ServerOptions } from './server-options.ts';

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
    await this.#meta?.start();
    this.#block?.start();
    this.#state = 'running';
  }

  /** Ends a start that waits for other servers, which rejects with StartStoppedError then. */
  stopWaiting(): void {
    this.#firstStart?.stop();
  }

  async #openRoles(firstStart: FirstStart, founders: Founders): Promise<void> {
    const { roles } = this.#options;
    const components: RoleComponents = {
      timers: this.#timers,
      random: this.#random,
      logger: this.#logger,
      fail: (reason) => this.#fail(reason),
    };
    if (roles.includes('meta'))
      this.#meta = await MetaRole.open(components, this.#options, firstStart, founders);
    if (roles.includes('block')) this.#block = await BlockRole.open(components, this.#options);
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
    const problem = block === undefined ? undefined : this.#block?.problem(block);
    const detail = problem ?? this.#meta?.withoutLeader();
    return detail === undefined ? { status: 'ok', detail: '' } : { status: 'degraded', detail };
  }

  /** Finishes what is being written. Idempotent. */
  async stop(): Promise<void> {
    if (this.#state === 'stopping') return;
    this.#state = 'stopping';
    this.stopWaiting();
    this.#block?.quiesce();
    this.#meta?.quiesce();
    await this.#block?.stop();
    await this.#meta?.close();
    await this.#block?.close();
    this.#grpc.close();
    this.#eventLoop.disable();
  }
}
