import { FsError } from '../base/errno.ts';
import { CALLS_IN_FLIGHT_MAX } from '../base/limits.ts';
import type { RequestStats } from '../base/request-stats.ts';
import type {
  Hello,
  LockGranted,
  MetaReply,
  MetaRequest,
  OpenInodesQuery,
  Recall,
} from '../gen/ringfs/v1/meta.ts';
import type { Logger } from '../ports/logger.ts';
import { RpcError, type RpcPeer, type RpcStreamHandler } from '../ports/rpc.ts';
import type {
  LeaderContext,
  ReadContext,
  ReplyBody,
  RequestBody,
  ServerContext,
  SessionContext,
} from './context.ts';
import { blockNodeReport } from './handlers/block-node-report.ts';
import { commit } from './handlers/commit.ts';
import { getAttr } from './handlers/get-attr.ts';
import { getChunks } from './handlers/get-chunks.ts';
import { getLock } from './handlers/get-lock.ts';
import { getXattr } from './handlers/get-xattr.ts';
import { goodbye } from './handlers/goodbye.ts';
import { checkCluster, helloReply, sessionOf } from './handlers/hello.ts';
import { knownBlocks } from './handlers/known-blocks.ts';
import { listXattr } from './handlers/list-xattr.ts';
import { lockWait } from './handlers/lock-wait.ts';
import { lookup } from './handlers/lookup.ts';
import { openInodesReply } from './handlers/open-inodes-reply.ts';
import { pingObserver, pingSession } from './handlers/ping.ts';
import { readDir } from './handlers/read-dir.ts';
import { readPoint } from './handlers/read-point.ts';
import { recallAck } from './handlers/recall-ack.ts';
import { reconcileBlocks } from './handlers/reconcile-blocks.ts';
import { statFs } from './handlers/stat-fs.ts';
import { topology } from './handlers/topology.ts';
import type { Leadership } from './leadership.ts';
import { Relay } from './relay.ts';
import { NotLeaderError } from './replica.ts';
import { notLeaderReply, outcomeOf, requestFailure } from './request-failure.ts';
import type { Session, SessionLink } from './sessions.ts';

/** Plain counters of all streams. */
export interface RequestCounters {
  requests: number;
  /** Answered with an error or NotLeader. */
  failed: number;
  notLeader: number;
  overloaded: number;
}

export interface ClientStreamComponents {
  readonly peer: RpcPeer<MetaReply>;
  readonly server: ServerContext;
  readonly logger: Logger;
  readonly counters: RequestCounters;
  readonly stats: RequestStats;
  readonly onClosed: (stream: ClientStream) => void;
}

export interface ClientStreamOptions {
  readonly callsInFlightMax?: number;
}

interface Attached {
  readonly lead: Leadership;
  readonly session: Session;
}

/** One client's stream: who it is, and its requests to their handlers. Nothing that a client sends ends more than its stream. */
export class ClientStream implements RpcStreamHandler<MetaRequest, MetaReply>, SessionLink {
  readonly remote: string;
  readonly #c: ClientStreamComponents;
  readonly #callsInFlightMax: number;
  #observer = false;
  #attached: Attached | undefined;
  /** Whoever is at the other end of this one, while it goes on to the leader. */
  #relay: Relay | undefined;
  #inFlight = 0;
  #closed = false;

  constructor(components: ClientStreamComponents, options: ClientStreamOptions = {}) {
    this.#c = components;
    this.remote = components.peer.remote;
    this.#callsInFlightMax = options.callsInFlightMax ?? CALLS_IN_FLIGHT_MAX;
  }

  /** It goes on to the leader. */
  get relayed(): boolean {
    return this.#relay !== undefined;
  }

  recall(recall: Recall): void {
    this.#c.peer.push({ $case: 'recall', value: recall });
  }

  query(query: OpenInodesQuery): void {
    this.#c.peer.push({ $case: 'openInodesQuery', value: query });
  }

  lockGranted(granted: LockGranted): void {
    this.#c.peer.push({ $case: 'lockGranted', value: granted });
  }

  /** Ends the stream, with the new leader's address when it is because of that and it is known. */
  close(): void {
    if (this.#closed) return;
    if (this.#attached?.lead.active === false) this.#c.peer.push(notLeaderReply(this.#c.server.replica));
    this.onClose();
    this.#c.peer.close();
  }

  onClose(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#detach();
    this.#endRelay();
    this.#c.onClosed(this);
  }

  /** Never rejects. */
  async onRequest(body: RequestBody): Promise<ReplyBody | undefined> {
    this.#c.counters.requests++;
    // A body of a later version of the protocol decodes to none.
    if ((body as RequestBody | undefined) === undefined) {
      return this.#failed(undefined, new FsError('EINVAL', 'unknown request'));
    }
    if (this.#relay !== undefined && body.$case !== 'hello') return this.#carry(this.#relay, body);
    try {
      // What keeps the session and others' commits going is never refused for want of room, nor does it wait.
      const immediate = this.#immediate(body);
      if (immediate !== 'not immediate') return immediate;
    } catch (error) {
      const reply = this.#failed(body, error);
      return body.$case === 'ping' ? reply : undefined;
    }
    if (this.#inFlight >= this.#callsInFlightMax) {
      return this.#failed(body, new FsError('EAGAIN', `${this.#inFlight} requests in flight`));
    }
    this.#inFlight++;
    const { stats, server } = this.#c;
    const startMs = server.timers.nowMs();
    const reply = await this.#answer(body);
    this.#inFlight--;
    stats.note(body.$case, server.timers.nowMs() - startMs, outcomeOf(reply));
    return reply;
  }

  /** Never rejects. */
  async #answer(body: RequestBody): Promise<ReplyBody> {
    try {
      return await this.#dispatch(body);
    } catch (error) {
      return this.#failed(body, error);
    }
  }

  /** Never rejects. */
  async #carry(relay: Relay, body: RequestBody): Promise<ReplyBody | undefined> {
    try {
      return await relay.request(body);
    } catch (error) {
      if (!(error instanceof RpcError)) return this.#failed(body, error);
      this.#c.logger.debug({ err: error, remote: this.remote }, 'a stream to the leader has ended');
      this.close();
      return undefined;
    }
  }

  #immediate(body: RequestBody): ReplyBody | undefined | 'not immediate' {
    switch (body.$case) {
      case 'ping':
        return {
          $case: 'ping',
          value: this.#observer ? pingObserver(this.#c.server) : pingSession(this.#session()),
        };
      case 'recallAck':
        return void recallAck(this.#session(), body.value);
      case 'openInodesReply':
        return void openInodesReply(this.#session(), body.value);
      default:
        return 'not immediate';
    }
  }

  async #dispatch(body: RequestBody): Promise<ReplyBody> {
    switch (body.$case) {
      case 'hello':
        return this.#hello(body.value);
      case 'topology':
        return { $case: 'topology', value: await topology(this.#c.server) };
      case 'statFs':
        return { $case: 'statFs', value: await statFs(this.#leader()) };
      case 'blockNodeReport':
        return { $case: 'blockNodeReport', value: await blockNodeReport(this.#leader(), body.value) };
      case 'reconcileBlocks':
        return { $case: 'reconcileBlocks', value: await reconcileBlocks(this.#leader(), body.value) };
      case 'knownBlocks':
        return { $case: 'knownBlocks', value: await knownBlocks(this.#leader(), body.value) };
      case 'readPoint':
        return { $case: 'readPoint', value: await readPoint(this.#leader()) };
      default:
        return (await this.#dispatchRead(body)) ?? this.#dispatchSession(this.#session(), body);
    }
  }

  /** What any member answers an observer, and the leader a session with leases. Undefined: not a read. */
  async #dispatchRead(body: RequestBody): Promise<ReplyBody | undefined> {
    switch (body.$case) {
      case 'lookup':
        return { $case: 'lookup', value: await lookup(this.#reader(), body.value) };
      case 'getAttr':
        return { $case: 'getAttr', value: await getAttr(this.#reader(), body.value) };
      case 'readDir':
        return { $case: 'readDir', value: await readDir(this.#reader(), body.value) };
      case 'getChunks':
        return { $case: 'getChunks', value: await getChunks(this.#reader(), body.value) };
      case 'getXattr':
        return { $case: 'getXattr', value: await getXattr(this.#reader(), body.value) };
      case 'listXattr':
        return { $case: 'listXattr', value: await listXattr(this.#reader(), body.value) };
      default:
        return undefined;
    }
  }

  #reader(): ReadContext {
    return this.#observer ? { ...this.#c.server, session: undefined } : this.#session();
  }

  /** The requests that only a session may make. */
  async #dispatchSession(ctx: SessionContext, body: RequestBody): Promise<ReplyBody> {
    switch (body.$case) {
      case 'commit':
        return { $case: 'commit', value: await commit(ctx, body.value) };
      case 'goodbye':
        return { $case: 'goodbye', value: await goodbye(ctx) };
      case 'getLock':
        return { $case: 'getLock', value: await getLock(ctx, body.value) };
      case 'lockWait':
        return { $case: 'lockWait', value: await lockWait(ctx, body.value) };
      default:
        throw new FsError('EINVAL', `unknown request ${body.$case}`);
    }
  }

  async #hello(hello: Hello): Promise<ReplyBody> {
    const { server } = this.#c;
    const cluster = await server.cluster();
    checkCluster(hello, cluster);
    this.#endRelay();
    if (hello.observer) {
      this.#observer = true;
      return { $case: 'hello', value: helloReply(server, 0, cluster) };
    }
    if (hello.relay && server.leadership() === undefined) {
      const relayed = await this.#helloToLeader(hello);
      if (relayed !== undefined) return relayed;
    }
    const lead = this.#lead();
    if (cluster === undefined) throw new FsError('EAGAIN', 'the cluster has not been initialised yet');
    const id = await sessionOf({ ...server, lead }, hello);
    // A stream that is gone must not take the session from the one that came after it.
    if (this.#closed) throw new FsError('EPIPE', 'the stream has ended');
    if (this.#attached !== undefined && this.#attached.session.id !== id) this.#detach();
    this.#observer = false;
    this.#attached = { lead, session: lead.sessions.attach(id, this) };
    return { $case: 'hello', value: helloReply(server, id, cluster) };
  }

  /** The leader's answer, with which this stream goes on to it if it is a welcome. Undefined: it is not known, or not reached. */
  async #helloToLeader(hello: Hello): Promise<ReplyBody | undefined> {
    const { logger, peer } = this.#c;
    const { connector, replica, timers } = this.#c.server;
    const leader = replica.leader();
    if (connector === undefined || leader === undefined || leader.id === replica.id) return undefined;
    this.#detach();
    const relay = new Relay({ connector, timers, peer, onClose: () => this.close() });
    this.#relay = relay;
    let reply: ReplyBody | undefined;
    try {
      reply = await relay.open(hello, leader.address);
    } catch (error) {
      logger.debug({ err: error, leader: leader.address }, 'a client is not carried to the leader');
    }
    if (reply?.$case === 'hello')
      logger.info(
        { client: hello.client, remote: this.remote, leader: leader.id },
        'carrying a client to the leader',
      );
    else if (this.#relay === relay) this.#endRelay();
    return reply;
  }

  #endRelay(): void {
    this.#relay?.close();
    this.#relay = undefined;
  }

  /** Throws NotLeaderError. */
  #lead(): Leadership {
    const lead = this.#c.server.leadership();
    if (lead === undefined) throw new NotLeaderError(this.#c.server.replica.leader());
    lead.check();
    return lead;
  }

  /** For requests that an observer may make too. */
  #leader(): LeaderContext {
    if (!this.#observer) return this.#session();
    return { ...this.#c.server, lead: this.#lead() };
  }

  /** Throws NotLeaderError, FsError ESTALE when the session was expired, EPROTO before a hello. */
  #session(): SessionContext {
    const lead = this.#lead();
    const attached = this.#attached;
    if (attached === undefined) {
      throw new FsError(
        'EPROTO',
        this.#observer ? 'an observer has no session' : 'the first message is a hello',
      );
    }
    const { session } = attached;
    if (session.expired) throw new FsError('ESTALE', `session ${session.id} has expired`);
    if (attached.lead !== lead || session.link !== this) throw new NotLeaderError(undefined);
    lead.sessions.touch(session);
    return { ...this.#c.server, lead, session };
  }

  #detach(): void {
    const attached = this.#attached;
    this.#attached = undefined;
    attached?.lead.sessions.detach(attached.session, this);
  }

  #failed(body: RequestBody | undefined, error: unknown): ReplyBody {
    const { counters, logger, server } = this.#c;
    const { reply, level } = requestFailure(error, server.replica);
    counters.failed++;
    if (reply.$case === 'notLeader') counters.notLeader++;
    if (error instanceof FsError && error.code === 'EAGAIN') counters.overloaded++;
    const fields = {
      request: body?.$case ?? 'unknown',
      remote: this.remote,
      session: this.#attached?.session.id ?? 0,
      err: error,
    };
    logger[level](fields, 'request failed');
    return reply;
  }
}
