import { FsError } from '../base/errno.ts';
import { META_ADDRESSES_MAX, RELAY_DIRECT_RETRY_MS } from '../base/limits.ts';
import type { HelloReply, NotLeader, PingReply, Topology } from '../gen/ringfs/v1/meta.ts';
import type { TimerHandle } from '../ports/clock.ts';
import type { RpcError } from '../ports/rpc.ts';
import type { Deadline } from './deadline.ts';
import {
  type FoundLeader,
  LeaderSearch,
  type MetaConnection,
  type MetaPush,
  type SearchComponents,
  type SearchHooks,
} from './leader-search.ts';
import { Pinger } from './pinger.ts';

/** A stream on which the leader has accepted our session. */
export interface LeaderLink {
  readonly connection: MetaConnection;
  readonly address: string;
  readonly hello: HelloReply;
  /** The session it was opened for. */
  readonly session: number;
}

export interface LeaderHooks {
  /** Called synchronously when there is a leader. */
  onUp(link: LeaderLink, sentMs: number, receivedMs: number): void;
  /** Called synchronously when it is given up, before the search begins. */
  onDown(link: LeaderLink, reason: string): void;
  onPing(link: LeaderLink, reply: PingReply, sentMs: number, receivedMs: number): void;
  onPush(connection: MetaConnection, body: MetaPush): void;
  onSessionLost(id: number): void;
}

interface Waiter {
  resolve(link: LeaderLink): void;
  reject(error: Error): void;
}

function closedError(): FsError {
  return new FsError('EIO', 'the client is closed');
}

/**
 * Keeps one stream to the leader of the meta cluster, finding it again whenever the stream ends, the server stops leading
 * or falls silent. A stream that another server carries to the leader is given up for a direct one as soon as there can be one.
 */
export class LeaderConnection {
  readonly #c: SearchComponents;
  readonly #hooks: LeaderHooks;
  readonly #relays: boolean;
  readonly #configured: readonly string[];
  #learned: string[] = [];
  #link: LeaderLink | undefined;
  #pinger: Pinger | undefined;
  #directTimer: TimerHandle | undefined;
  #search: LeaderSearch | undefined;
  #lastAddress: string | undefined;
  #waiters = new Set<Waiter>();
  #closed = false;
  #changes = 0;
  #relayed = 0;
  #absentSinceMs: number;

  constructor(
    components: SearchComponents,
    hooks: LeaderHooks,
    options: { readonly addresses: readonly string[]; readonly relays: boolean },
  ) {
    this.#c = components;
    this.#hooks = hooks;
    this.#absentSinceMs = components.timers.nowMs();
    this.#relays = options.relays;
    this.#configured = options.addresses.slice(0, META_ADDRESSES_MAX);
  }

  start(): void {
    this.#beginSearch(undefined);
  }

  /** The leader, when there is one now. */
  get link(): LeaderLink | undefined {
    return this.#link;
  }

  /** For how long there has been no leader, in milliseconds; 0 while there is one. */
  get absentMs(): number {
    return this.#link === undefined ? this.#c.timers.nowMs() - this.#absentSinceMs : 0;
  }

  /** Servers that are known, any of which may lead. */
  get addresses(): readonly string[] {
    return [...new Set([...this.#configured, ...this.#learned])];
  }

  /** How often a leader was found. */
  get changes(): number {
    return this.#changes;
  }

  /** How often another server carried the stream to it. */
  get relayed(): number {
    return this.#relayed;
  }

  /** The leader, once there is one. Throws EINTR, ETIMEDOUT, EIO once closed. */
  async ready(deadline: Deadline): Promise<LeaderLink> {
    if (this.#link !== undefined) return this.#link;
    deadline.check();
    if (this.#closed) throw closedError();
    let waiter: Waiter | undefined;
    const up = new Promise<LeaderLink>((resolve, reject) => {
      waiter = { resolve, reject };
      this.#waiters.add(waiter);
    });
    try {
      return await deadline.race(up);
    } finally {
      if (waiter !== undefined) this.#waiters.delete(waiter);
    }
  }

  /** Gives `link` up, unless that has happened already, and looks for the leader. */
  lost(link: LeaderLink, reason: string, hint?: NotLeader): void {
    if (this.#link !== link) return;
    this.#link = undefined;
    this.#absentSinceMs = this.#c.timers.nowMs();
    this.#pinger?.stop();
    this.#pinger = undefined;
    this.#directTimer?.cancel();
    this.#c.logger.info({ address: link.address, reason }, 'leader lost');
    this.#hooks.onDown(link, reason);
    link.connection.close();
    const address = hint?.leaderAddress === '' ? undefined : hint?.leaderAddress;
    if (address !== undefined) this.#learn(address);
    if (!this.#closed) this.#beginSearch(address);
  }

  /** Servers to look for the leader at, besides the configured ones. */
  learnTopology(topology: Topology): void {
    const addresses = topology.members.map((m) => m.address).filter((a) => a !== '');
    if (addresses.length > 0) this.#learned = addresses.slice(0, META_ADDRESSES_MAX);
  }

  close(): void {
    this.#closed = true;
    this.#search?.stop();
    this.#pinger?.stop();
    this.#directTimer?.cancel();
    const link = this.#link;
    this.#link = undefined;
    link?.connection.close();
    for (const waiter of this.#waiters) waiter.reject(closedError());
    this.#waiters.clear();
  }

  #beginSearch(hint: string | undefined): void {
    this.#search?.stop();
    const hooks: SearchHooks = {
      onFound: (found) => this.#up(found),
      onSessionLost: (id) => this.#hooks.onSessionLost(id),
      onPush: (connection, body) => this.#hooks.onPush(connection, body),
      onClose: (connection, reason) => this.#ended(connection, reason),
      onLearned: (address) => this.#learn(address),
    };
    const search = new LeaderSearch(this.#c, hooks, { relays: this.#relays });
    this.#search = search;
    const known = [...this.#configured, ...this.#learned];
    const first = [hint, this.#lastAddress].filter((a) => a !== undefined);
    search.start([...new Set([...first, ...this.#shuffled(known)])]);
  }

  #up(found: FoundLeader): void {
    this.#search = undefined;
    if (this.#closed) {
      found.connection.close();
      return;
    }
    const { session, logger, timers } = this.#c;
    session.opened(found.hello);
    const link: LeaderLink = {
      connection: found.connection,
      address: found.address,
      hello: found.hello,
      session: found.hello.session,
    };
    this.#link = link;
    this.#lastAddress = found.address;
    this.#changes++;
    const { relayedTo } = link.hello;
    if (relayedTo !== undefined) this.#relayed++;
    logger.info({ address: link.address, session: link.session, relayedTo }, 'leader found');
    this.#pinger = new Pinger(timers, link.connection, {
      onReply: (reply, sentMs, receivedMs) => this.#hooks.onPing(link, reply, sentMs, receivedMs),
      onNotLeader: (hint) => this.lost(link, 'not the leader any more', hint),
      onSessionLost: () => {
        this.#hooks.onSessionLost(link.session);
        this.lost(link, 'session unknown');
      },
      onSilent: () => this.lost(link, 'silent'),
    });
    // Before anything else on this stream: what is cached from now on counts from this ping.
    this.#pinger.start();
    this.#hooks.onUp(link, found.sentMs, found.receivedMs);
    if (this.#link === link && !link.connection.open) this.lost(link, 'closed');
    if (this.#link !== link) return;
    if (relayedTo !== undefined) this.#lookForDirect(link, relayedTo);
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const waiter of waiters) waiter.resolve(link);
  }

  /** Until the leader at `address` can be reached, or `link` is given up. */
  #lookForDirect(link: LeaderLink, address: string): void {
    this.#directTimer = this.#c.timers.after(RELAY_DIRECT_RETRY_MS, () => {
      this.#c.connector.connect(address).then(
        (connection) => {
          connection.close();
          this.lost(link, 'the leader can be reached directly', { leaderId: '', leaderAddress: address });
        },
        () => {
          if (this.#link === link) this.#lookForDirect(link, address);
        },
      );
    });
  }

  #ended(connection: MetaConnection, reason: RpcError): void {
    if (this.#link?.connection === connection) this.lost(this.#link, reason.message);
  }

  #learn(address: string): void {
    if (this.#configured.includes(address) || this.#learned.includes(address)) return;
    if (this.#learned.length < META_ADDRESSES_MAX) this.#learned.push(address);
  }

  /** So that many clients do not all ask the same server first. */
  #shuffled(addresses: readonly string[]): string[] {
    const out = [...addresses];
    for (let i = out.length - 1; i > 0; i--) {
      const j = this.#c.random.below(i + 1);
      [out[i], out[j]] = [out[j]!, out[i]!];
    }
    return out;
  }
}
