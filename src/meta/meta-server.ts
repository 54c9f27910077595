import { type RequestSnapshot, RequestStats } from '../base/request-stats.ts';
import { readCluster } from '../core/namespace/read.ts';
import type { BlockNodesReply, BlockNodesRequest, GarbageOfCluster } from '../gen/ringfs/v1/admin.ts';
import type { MetaReply, MetaRequest } from '../gen/ringfs/v1/meta.ts';
import type { ClusterRow } from '../gen/ringfs/v1/rows.ts';
import type { RpcAcceptor, RpcPeer, RpcStreamHandler } from '../ports/rpc.ts';
import { ClientStream, type RequestCounters } from './client-stream.ts';
import type { MetaServerComponents, ServerContext } from './context.ts';
import { readPoint } from './handlers/read-point.ts';
import { Leadership } from './leadership.ts';
import { manageBlockNodes } from './manage-block-nodes.ts';
import { UnleasedReads } from './unleased-reads.ts';

export interface MetaServerOptions {
  readonly leasesPerSessionMax?: number;
  readonly callsInFlightMax?: number;
}

export interface MetaServerStats extends Readonly<RequestCounters> {
  readonly leading: boolean;
  readonly streams: number;
  /** Of these, carried on to the leader. */
  readonly streamsRelayed: number;
  /** The rest is 0 on a follower. */
  readonly sessions: number;
  readonly sessionsExpired: number;
  readonly leases: number;
  readonly leasesEvicted: number;
  readonly recallsSent: number;
  readonly recallsPending: number;
  readonly recallsExpired: number;
  readonly orphansQueued: number;
  readonly orphansReaped: number;
}

/**
 * The session service of a meta server: clients' streams on one side, a replica of the namespace on the other. Only the
 * leader serves sessions; what exists only there is in `Leadership`, one per term.
 */
export class MetaServer {
  readonly #c: MetaServerComponents;
  readonly #options: MetaServerOptions;
  readonly #streams = new Set<ClientStream>();
  readonly #context: ServerContext;
  readonly #counters: RequestCounters = { requests: 0, failed: 0, notLeader: 0, overloaded: 0 };
  readonly #requests = new RequestStats();
  readonly unleased: UnleasedReads;
  #leadership: Leadership | undefined;
  /** It never changes once it is known. */
  #cluster: ClusterRow | undefined;
  #started = false;
  #stopped = false;

  constructor(components: MetaServerComponents, options: MetaServerOptions = {}) {
    this.#c = components;
    this.#options = options;
    const { replica, timers } = components;
    const unleased = new UnleasedReads({
      replica,
      timers,
      ownPoint: () => {
        const lead = this.#leadership;
        return lead === undefined ? undefined : readPoint({ ...this.#context, lead });
      },
      askLeader: components.askLeader,
    });
    this.unleased = unleased;
    this.#context = {
      replica,
      timers,
      unleased,
      connector: components.connector,
      cluster: () => this.#readCluster(),
      leadership: () => this.#leadership,
    };
  }

  /** Serves from now on. Call before the replica runs, so that no role change is missed. */
  start(): void {
    if (this.#started) return;
    this.#started = true;
    const { replica } = this.#c;
    replica.onApplied((batch) => this.#leadership?.onApplied(batch));
    replica.onRoleChange((role, term) => {
      this.#abdicate();
      if (role === 'leader') this.#lead(term);
    });
    if (replica.isLeader() && this.#leadership === undefined) this.#lead(replica.status().term);
  }

  /** Ends all streams. */
  stop(): void {
    this.#stopped = true;
    this.#abdicate();
    for (const stream of [...this.#streams]) stream.close();
  }

  /** Give this to the transport. */
  readonly accept: RpcAcceptor<MetaRequest, MetaReply> = (peer) => {
    if (this.#stopped) return refuse(peer);
    const { callsInFlightMax } = this.#options;
    const stream = new ClientStream(
      {
        peer,
        server: this.#context,
        logger: this.#c.logger,
        counters: this.#counters,
        stats: this.#requests,
        onClosed: (closed) => void this.#streams.delete(closed),
      },
      callsInFlightMax === undefined ? {} : { callsInFlightMax },
    );
    this.#streams.add(stream);
    return stream;
  };

  stats(): MetaServerStats {
    const lead = this.#leadership;
    const leases = lead?.leases.stats();
    return {
      ...this.#counters,
      leading: lead !== undefined,
      streams: this.#streams.size,
      streamsRelayed: [...this.#streams].filter((stream) => stream.relayed).length,
      sessions: lead?.sessions.size ?? 0,
      sessionsExpired: lead?.sessions.expiries ?? 0,
      leases: leases?.leases ?? 0,
      leasesEvicted: leases?.evicted ?? 0,
      recallsSent: leases?.recallsSent ?? 0,
      recallsPending: leases?.recallsPending ?? 0,
      recallsExpired: leases?.recallsExpired ?? 0,
      orphansQueued: lead?.reaper.queued ?? 0,
      orphansReaped: lead?.reaper.reaped ?? 0,
    };
  }

  /** What clients asked since the start, and how it ended. Pings and what answers the leader's questions are not counted. */
  requestsByKind(): readonly RequestSnapshot[] {
    return this.#requests.snapshot();
  }

  /** What there is to collect; `collect`: and a round of doing it. Undefined: this server does not lead. Throws NotLeaderError. */
  async garbage(collect: boolean): Promise<GarbageOfCluster | undefined> {
    const garbage = this.#leadership?.garbage;
    if (garbage === undefined) return undefined;
    if (collect) await garbage.pass();
    return garbage.summary();
  }

  /** The registry of block nodes, after a change if one is asked for. Rejects with what nobody expects. */
  async blockNodes(request: BlockNodesRequest): Promise<BlockNodesReply> {
    const lead = this.#leadership;
    const { replica, hasCopies } = this.#c;
    const cluster = await this.#readCluster();
    if (lead === undefined || hasCopies === undefined || cluster === undefined) {
      const { id = '', address = '' } = replica.leader() ?? {};
      return { result: { $case: 'notLeader', value: { id, address } } };
    }
    const { registry, signal } = lead;
    const components = { replica, registry, hasCopies, replicas: cluster.replicas, signal };
    return { result: await manageBlockNodes(components, request) };
  }

  #lead(term: number): void {
    if (this.#stopped) return;
    const { replica, timers, logger } = this.#c;
    const { leasesPerSessionMax } = this.#options;
    logger.info({ term }, 'serving sessions as the leader');
    this.#leadership = new Leadership(
      { replica, timers, logger, ...(this.#c.garbage && { garbage: this.#c.garbage }) },
      leasesPerSessionMax === undefined ? { term } : { term, leasesPerSessionMax },
    );
    this.#leadership.start();
  }

  #abdicate(): void {
    const former = this.#leadership;
    if (former === undefined) return;
    this.#leadership = undefined;
    this.#c.logger.info({ term: former.term }, 'not the leader any more');
    former.close();
  }

  async #readCluster(): Promise<ClusterRow | undefined> {
    this.#cluster ??= await readCluster(this.#c.replica.state);
    return this.#cluster;
  }
}

/** For streams that come while the server stops: the transport may not expect the end of one that it is still setting up. */
function refuse(peer: RpcPeer<MetaReply>): RpcStreamHandler<MetaRequest, MetaReply> {
  return {
    onRequest: () => {
      peer.close();
      return Promise.resolve(undefined);
    },
    onClose: () => undefined,
  };
}
