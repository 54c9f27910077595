import { toBinary } from '../base/bytes.ts';
import { asFsError, errnoName, FsError } from '../base/errno.ts';
import type { Ino } from '../base/ids.ts';
import {
  CLIENT_CLOSE_WAIT_MS,
  CLIENT_GOODBYE_WAIT_MS,
  CLIENT_OPERATION_TIMEOUT_MS_DEFAULT,
  COMMIT_MISSING_TRIES_MAX,
} from '../base/limits.ts';
import type { Random } from '../base/random.ts';
import type { MetaReply, MetaRequest, StatFsReply, Topology } from '../gen/ringfs/v1/meta.ts';
import type {
  Attr,
  CommitOk,
  CommitRejected,
  CommitResult,
  Op,
  SetLock,
} from '../gen/ringfs/v1/namespace.ts';
import type { Instant, Timers } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import {
  BlocksMissing,
  type CommitOptions,
  type InodeChange,
  type LockEvent,
  type MetaService,
  PreconditionFailed,
} from '../ports/meta-service.ts';
import type { RpcConnector } from '../ports/rpc.ts';
import type { MetaClientStats } from './client-stats.ts';
import { ClusterTime } from './cluster-time.ts';
import { type CommitBody, CommitQueue } from './commit-queue.ts';
import { Deadline } from './deadline.ts';
import { FollowerReader } from './follower-reader.ts';
import { LeaderConnection, type LeaderLink } from './leader-connection.ts';
import type { MetaConnection, MetaPush } from './leader-search.ts';
import { Lease } from './lease.ts';
import { type CacheToken, type DirectoryPage, type Layout, MetaCache } from './meta-cache.ts';
import { MetaRequests } from './meta-requests.ts';
import { Session } from './session.ts';

export interface MetaClientComponents {
  readonly connector: RpcConnector<MetaRequest, MetaReply>;
  readonly timers: Timers;
  /** Session nonces come from it: two clients must not draw the same 16 bytes, so it must be seeded well. */
  readonly random: Random;
  readonly logger: Logger;
}

export interface MetaClientOptions {
  /** host:port of some meta servers; the others are learned. */
  readonly addresses: readonly string[];
  /** For people: host:pid:mount point. */
  readonly clientName: string;
  /** Refuse every other cluster. Default: the first one that answers. */
  readonly clusterId?: string;
  /**
   * Use other servers when the leader cannot be reached for FOLLOWERS_ASKED_AFTER_MS: they answer reads, and carry the stream to it.
   * Default true.
   */
  readonly followers?: boolean;
  /** How long an operation waits for an answer before ETIMEDOUT. Default 30,000 ms. */
  readonly operationTimeoutMs?: number;
}

type ChangeListener = (change: readonly InodeChange[] | undefined) => void;

/**
 * The metadata cluster over the network. Reads are answered from leased state when they can be, else by the leader; commits
 * take effect at most once. Attributes and rows that it returns are shared with its cache: do not change them.
 *
 * When the cluster forgets the session (it heard nothing of this client for SESSION_TTL_MS), commits that were sent and
 * not answered fail with EIO, because under a new session they could take effect twice; later ones use the new session.
 */
export class MetaClient implements MetaService {
  readonly #c: MetaClientComponents;
  readonly #timeoutMs: number;
  readonly #session: Session;
  readonly #time: ClusterTime;
  #seenIndex = 0;
  readonly #lease: Lease;
  readonly #cache: MetaCache;
  readonly #leader: LeaderConnection;
  readonly #followers: FollowerReader | undefined;
  readonly #requests: MetaRequests;
  readonly #commits: CommitQueue;
  readonly #listeners: ChangeListener[] = [];
  readonly #lockListeners: ((event: LockEvent) => void)[] = [];
  readonly #flights = new Map<string, Promise<unknown>>();
  #openInodes: (inos: readonly Ino[]) => readonly Ino[] = () => [];
  #commitCount = 0;
  #hits = 0;
  #misses = 0;
  #closed: Promise<void> | undefined;

  constructor(components: MetaClientComponents, options: MetaClientOptions) {
    const { timers, random, logger } = components;
    const { addresses, followers = true } = options;
    this.#c = components;
    this.#timeoutMs = options.operationTimeoutMs ?? CLIENT_OPERATION_TIMEOUT_MS_DEFAULT;
    this.#session = new Session(random, options);
    this.#time = new ClusterTime(timers);
    this.#lease = new Lease(timers, {
      onLost: () => this.#dropAll(),
      onGained: () => this.#dropAll(),
    });
    this.#cache = new MetaCache(() => this.#lease.held);
    this.#leader = new LeaderConnection(
      { ...components, session: this.#session },
      {
        onUp: (link, sentMs, receivedMs) => this.#up(link, sentMs, receivedMs),
        onDown: () => this.#down(),
        onPing: (link, reply, sentMs, receivedMs) => {
          this.#sawIndex(reply.appliedIndex);
          if (reply.time !== undefined) this.#time.sample(reply.time, sentMs, receivedMs);
          // Nothing is cached from the farewell on, whatever answers still come.
          if (reply.leaseValid && this.#closed === undefined)
            this.#lease.extend(sentMs + link.hello.leaseTtlMs);
        },
        onPush: (connection, body) => this.#pushed(connection, body),
        onSessionLost: (id) => this.#sessionLost(id),
      },
      { addresses, relays: followers },
    );
    const cacheToken = (): CacheToken => this.#cache.token();
    if (followers) this.#followers = this.#makeFollowers(options);
    this.#requests = new MetaRequests({
      leader: this.#leader,
      random,
      logger,
      cacheToken,
      timers,
      followers: this.#followers,
    });
    this.#commits = new CommitQueue(
      { timers, random, logger },
      {
        now: () => this.#time.now(),
        cacheToken,
        onSend: ({ ops }) => this.#cache.changing(ops),
        onAnswer: (body, result, token, abandoned) => this.#answered(body, result, token, abandoned),
        onNotLeader: (link, hint) => this.#leader.lost(link, 'not the leader any more', hint),
        onBroken: (link, reason) => this.#leader.lost(link, reason),
        onSessionUnknown: (link) => {
          this.#sessionLost(link.session);
          this.#leader.lost(link, 'session unknown');
        },
      },
    );
    this.#leader.start();
  }

  #makeFollowers({ clientName }: MetaClientOptions): FollowerReader {
    const { connector, random, logger } = this.#c;
    const addresses = (): readonly string[] => this.#leader.addresses;
    const clusterId = (): string => this.#session.clusterId;
    return new FollowerReader({ connector, random, logger, addresses, clusterId }, { clientName });
  }

  // Reads -----------------------------------------------------------------------------------------------------

  async lookup(parent: Ino, name: Uint8Array, signal?: AbortSignal): Promise<Attr | undefined> {
    // Before anything is built for a request: this is the path of nearly every call.
    const known = this.#count(this.#cache.lookup(parent, name));
    if (known !== undefined) return known ?? undefined;
    const attr = await this.#shared<Attr | null>(
      `l${parent}/${toBinary(name)}`,
      () => this.#cache.lookup(parent, name),
      async (deadline) => {
        const request = { $case: 'lookup' as const, value: { parent, name } };
        const { value, token } = await this.#requests.ask(request, 'lookup', deadline);
        this.#cache.putLookup(token, parent, name, value);
        return (value.found ? value.attr : undefined) ?? null;
      },
      this.#deadline('lookup', signal),
    );
    return attr ?? undefined;
  }

  async getattr(ino: Ino, signal?: AbortSignal): Promise<Attr> {
    const known = this.#count(this.#cache.attr(ino));
    if (known !== undefined) return known;
    return await this.#shared(
      `a${ino}`,
      () => this.#cache.attr(ino),
      async (deadline) => {
        const request = { $case: 'getAttr' as const, value: { ino } };
        const { value, token } = await this.#requests.ask(request, 'getAttr', deadline);
        this.#cache.putAttr(token, value);
        return whole(value.attr);
      },
      this.#deadline('getattr', signal),
    );
  }

  async readdir(
    ino: Ino,
    after: Uint8Array,
    limit: number,
    withAttrs: boolean,
    signal?: AbortSignal,
  ): Promise<DirectoryPage> {
    const cached = this.#count(this.#cache.page(ino, after, limit, withAttrs));
    if (cached !== undefined) return cached;
    const request = { $case: 'readDir' as const, value: { ino, after, limit, withAttrs } };
    const deadline = this.#deadline('readdir', signal);
    const { value, token } = await this.#requests.ask(request, 'readDir', deadline);
    this.#cache.putPage(token, ino, after, value);
    return { entries: value.entries, end: value.end, attr: whole(value.attr) };
  }

  async getChunks(ino: Ino, first: number, count: number, signal?: AbortSignal): Promise<Layout> {
    const known = this.#count(this.#cache.layout(ino, first, count));
    if (known !== undefined) return known;
    return await this.#shared(
      `c${ino}/${first}/${count}`,
      () => this.#cache.layout(ino, first, count),
      async (deadline) => {
        const request = { $case: 'getChunks' as const, value: { ino, first, count } };
        const { value, token } = await this.#requests.ask(request, 'getChunks', deadline);
        this.#cache.putLayout(token, ino, first, count, value);
        return { chunks: value.chunks, attr: whole(value.attr) };
      },
      this.#deadline('getchunks', signal),
    );
  }

  async nextChunk(ino: Ino, first: number, signal?: AbortSignal): Promise<number | undefined> {
    const request = { $case: 'getChunks' as const, value: { ino, first, count: 1, skipAbsent: true } };
    const reply = await this.#requests.ask(request, 'getChunks', this.#deadline('nextchunk', signal));
    return reply.value.chunks[0]?.index;
  }

  async getxattr(ino: Ino, name: Uint8Array, signal?: AbortSignal): Promise<Uint8Array> {
    // The kernel asks for security.capability before every write.
    if (this.#cache.attr(ino)?.hasXattrs === false) throw new FsError('ENODATA');
    const request = { $case: 'getXattr' as const, value: { ino, name } };
    const reply = await this.#requests.ask(request, 'getXattr', this.#deadline('getxattr', signal));
    return reply.value.value;
  }

  async listxattr(ino: Ino, signal?: AbortSignal): Promise<readonly Uint8Array[]> {
    if (this.#cache.attr(ino)?.hasXattrs === false) return [];
    const request = { $case: 'listXattr' as const, value: { ino } };
    const reply = await this.#requests.ask(request, 'listXattr', this.#deadline('listxattr', signal));
    return reply.value.names;
  }

  async statfs(signal?: AbortSignal): Promise<StatFsReply> {
    const request = { $case: 'statFs' as const, value: {} };
    return (await this.#requests.ask(request, 'statFs', this.#deadline('statfs', signal))).value;
  }

  async getLock(
    wanted: SetLock,
    signal?: AbortSignal,
  ): Promise<{ readonly held: SetLock; readonly ownSession: boolean } | undefined> {
    const request = { $case: 'getLock' as const, value: { wanted } };
    const { value } = await this.#requests.ask(request, 'getLock', this.#deadline('getlk', signal));
    return value.held === undefined ? undefined : { held: value.held, ownSession: value.ownSession };
  }

  async lockWaits(ino: Ino, ticket: number, signal?: AbortSignal): Promise<boolean> {
    const request = { $case: 'lockWait' as const, value: { ino, ticket } };
    const reply = await this.#requests.ask(request, 'lockWait', this.#deadline('lock wait', signal));
    return reply.value.waiting;
  }

  /** The members of the meta cluster and the block nodes. Throws FsError. */
  async topology(signal?: AbortSignal): Promise<Topology> {
    const request = { $case: 'topology' as const, value: {} };
    const reply = await this.#requests.ask(request, 'topology', this.#deadline('topology', signal));
    this.#leader.learnTopology(reply.value);
    return reply.value;
  }

  // Commits -------------------------------------------------------------------------------------------------

  async commit(
    ops: readonly Op[],
    options: CommitOptions = {},
  ): Promise<CommitOk & { readonly index: number }> {
    this.#commitCount++;
    let assumedBlocks = options.assumedBlocks ?? [];
    for (let tries = 1; ; tries++) {
      const deadline = this.#deadline('commit', options.signal);
      const { preconditions = [], sameSession = false, uploadedAt } = options;
      const body: CommitBody = { ops, preconditions, assumedBlocks, uploadedAt, sameSession };
      const result = await this.#commits.submit(body, deadline);
      switch (result.body?.$case) {
        case 'ok':
          return { ...result.body.value, index: result.index };
        case 'rejected':
          throw rejection(result.body.value);
        case 'missingBlocks': {
          const missing = result.body.value.blockIds;
          const assumed = new Set((options.assumedBlocks ?? []).map(toBinary));
          if (options.onMissing === undefined || !missing.every((id) => assumed.has(toBinary(id)))) {
            throw new BlocksMissing(missing.length);
          }
          if (tries >= COMMIT_MISSING_TRIES_MAX) {
            throw new FsError('EIO', `${missing.length} blocks of the commit are not stored`);
          }
          await options.onMissing(missing);
          // They are stored now and need not be assumed any more.
          const uploaded = new Set(missing.map(toBinary));
          assumedBlocks = assumedBlocks.filter((id) => !uploaded.has(toBinary(id)));
          break;
        }
        default:
          throw new FsError('EIO', 'a commit was answered with nothing');
      }
    }
  }

  // The rest of the port ----------------------------------------------------------------------------------------

  now(): Instant {
    return this.#time.now();
  }

  seenIndex(): number {
    return this.#seenIndex;
  }

  onChange(listener: ChangeListener): void {
    this.#listeners.push(listener);
  }

  onLocks(listener: (event: LockEvent) => void): void {
    this.#lockListeners.push(listener);
  }

  setOpenInodesProbe(probe: (inos: readonly Ino[]) => readonly Ino[]): void {
    this.#openInodes = probe;
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  stats(): MetaClientStats {
    const size = this.#cache.size;
    return {
      leader: this.#leader.link?.address,
      session: this.#session.id,
      leaderChanges: this.#leader.changes,
      relayed: this.#leader.relayed,
      leaseHeld: this.#lease.held,
      requests: this.#requests.sent,
      retries: this.#requests.retries,
      followerReads: this.#followers?.answers ?? 0,
      commits: this.#commitCount,
      commitResends: this.#commits.resends,
      commitsPending: this.#commits.pending,
      unknownFates: this.#commits.unknownFates,
      cacheHits: this.#hits,
      cacheMisses: this.#misses,
      recalls: this.#cache.recalls,
      cachedAttrs: size.attrs,
      cachedDentries: size.dentries,
      cachedExtents: size.extents,
    };
  }

  // Inside ------------------------------------------------------------------------------------------------------

  #deadline(what: string, signal: AbortSignal | undefined): Deadline {
    if (this.#closed !== undefined) throw new FsError('EIO', 'the client is closed');
    return new Deadline(this.#c.timers, this.#timeoutMs, what, signal);
  }

  /**
   * One fetch for all who ask at the same time for what is not cached. Whoever joins a fetch under way takes its result from
   * the cache: an answer that was not kept may be older than the question.
   */
  async #shared<T>(
    key: string,
    cached: () => T | undefined,
    fetch: (deadline: Deadline) => Promise<T>,
    deadline: Deadline,
  ): Promise<T> {
    const underway = this.#flights.get(key);
    if (underway !== undefined) {
      await deadline.race(underway);
      const joined = cached();
      if (joined !== undefined) return joined;
    }
    const fetched = fetch(deadline);
    const settled = fetched.then(ignore, ignore);
    this.#flights.set(key, settled);
    try {
      const value = await fetched;
      // A commit of ours that was answered meanwhile may have left something newer.
      return cached() ?? value;
    } finally {
      if (this.#flights.get(key) === settled) this.#flights.delete(key);
    }
  }

  #count<T>(found: T): T {
    if (found === undefined) this.#misses++;
    else this.#hits++;
    return found;
  }

  #up(link: LeaderLink, sentMs: number, receivedMs: number): void {
    this.#followers?.release();
    this.#time.newServer();
    this.#sawIndex(link.hello.appliedIndex);
    if (link.hello.time !== undefined) this.#time.sample(link.hello.time, sentMs, receivedMs);
    this.#commits.connected(link);
    this.#tellLocks({ type: 'reconnected' });
    this.topology().catch((error: unknown) => {
      this.#c.logger.debug({ err: error }, 'topology not learned');
    });
  }

  #down(): void {
    this.#commits.disconnected();
    if (this.#lease.held) this.#lease.drop();
    else this.#dropAll();
  }

  #sessionLost(id: number): void {
    if (this.#session.lost(id)) {
      this.#c.logger.warn({ session: id }, 'the cluster has expired our session');
      this.#commits.sessionLost(id);
      this.#tellLocks({ type: 'lost' });
    }
  }

  #sawIndex(index = 0): void {
    this.#seenIndex = Math.max(this.#seenIndex, index);
  }

  #dropAll(): void {
    this.#cache.reset();
    this.#tell(undefined);
  }

  #pushed(connection: MetaConnection, body: MetaPush): void {
    if (body.$case === 'recall') {
      const { recallId, inodes } = body.value;
      this.#cache.recall(inodes);
      this.#tell(inodes.map((i) => ({ ...i, ino: i.ino as Ino })));
      connection.send({ $case: 'recallAck', value: { recallId } });
    } else if (body.$case === 'openInodesQuery') {
      const open = this.#probeOpen(body.value.inos as Ino[]);
      connection.send({ $case: 'openInodesReply', value: { queryId: body.value.queryId, open } });
    } else if (body.$case === 'lockGranted') {
      this.#tellLocks({ type: 'granted', ...body.value });
    } else if (body.$case === 'notLeader') {
      const link = this.#leader.link;
      if (link?.connection === connection) this.#leader.lost(link, 'not the leader any more', body.value);
    }
  }

  /** A probe that fails must not cost anyone an open file. */
  #probeOpen(inos: Ino[]): number[] {
    try {
      return [...this.#openInodes(inos)];
    } catch (error) {
      this.#c.logger.error({ err: error }, 'the probe of open inodes failed');
      return inos;
    }
  }

  #answered(
    { ops }: CommitBody,
    result: CommitResult,
    token: CacheToken | undefined,
    abandoned: boolean,
  ): void {
    this.#sawIndex(result.index);
    if (result.body?.$case !== 'ok') return;
    const ok = result.body.value;
    this.#cache.committed(token, ops, ok, result.index);
    if (!abandoned) return;
    // Whoever made this commit was told nothing of its outcome: to them it is a change like a stranger's.
    const changes: InodeChange[] = [];
    for (const { attr, previousDataVersion, removed } of ok.touched) {
      if (attr === undefined) continue;
      const dataChanged = attr.dataVersion !== previousDataVersion;
      changes.push({ ino: attr.ino as Ino, version: attr.version, dataChanged, removed });
    }
    this.#tell(changes);
  }

  #tellLocks(event: LockEvent): void {
    for (const listener of this.#lockListeners) {
      try {
        listener(event);
      } catch (error) {
        this.#c.logger.error({ err: asFsError(error) }, 'a listener for locks failed');
      }
    }
  }

  #tell(change: readonly InodeChange[] | undefined): void {
    for (const listener of this.#listeners) {
      try {
        listener(change);
      } catch (error) {
        this.#c.logger.error({ err: asFsError(error) }, 'a listener for changes failed');
      }
    }
  }

  async #close(): Promise<void> {
    await this.#commits.drain(CLIENT_CLOSE_WAIT_MS);
    this.#commits.close();
    this.#lease.drop();
    this.#followers?.close();
    await this.#sayGoodbye();
    this.#leader.close();
  }

  /** Without it the session would end by its time to live; so nothing is lost when it fails. */
  async #sayGoodbye(): Promise<void> {
    const { link } = this.#leader;
    if (link === undefined) return;
    try {
      await link.connection.call({ $case: 'goodbye', value: {} }, { timeoutMs: CLIENT_GOODBYE_WAIT_MS });
    } catch (error) {
      this.#c.logger.debug({ err: error }, 'no leader took the end of the session');
    }
  }
}

function ignore(): void {
  // The one who fetches reports it.
}

function whole(attr: Attr | undefined): Attr {
  if (attr === undefined) throw new FsError('EIO', 'an answer without attributes');
  return attr;
}

function rejection(rejected: CommitRejected): Error {
  if (rejected.errno === 0) return new PreconditionFailed(rejected.current);
  return new FsError(errnoName(rejected.errno), rejected.detail === '' ? undefined : rejected.detail);
}
