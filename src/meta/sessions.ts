import {
  SESSION_HELLO_MS,
  SESSION_SILENCE_TOLD_MS,
  SESSION_SWEEP_INTERVAL_MS,
  SESSION_TTL_MS,
  SESSIONS_EXPIRED_PER_COMMAND_MAX,
  SESSIONS_SILENT_TOLD_MAX,
} from '../base/limits.ts';
import type { LockGranted, OpenInodesQuery, Recall } from '../gen/ringfs/v1/meta.ts';
import type { TimerHandle, Timers } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import type { LeaseHolder, LeaseTable } from './leases.ts';
import { proposeCommand } from './propose.ts';
import { isPassing, ProposalLostError, type Replica } from './replica.ts';

/** The stream on which a session is attached. */
export interface SessionLink {
  readonly remote: string;
  recall(recall: Recall): void;
  query(query: OpenInodesQuery): void;
  lockGranted(granted: LockGranted): void;
  close(): void;
}

/** A session of the state machine, as this leader knows it. */
export interface Session {
  readonly id: number;
  lastContactMs: number;
  /** Undefined while the client is not connected. */
  link: SessionLink | undefined;
  holder: LeaseHolder | undefined;
  /** Its expiry has been proposed: it gets no more leases. */
  expiring: boolean;
  expired: boolean;
}

export interface SessionTableHooks {
  /** The session is gone or was replaced on another stream, so its answers to queries will not come. */
  readonly onDetached: (session: Session) => void;
  readonly onAttached: (session: Session) => void;
  readonly onExpired: (session: Session) => void;
}

export interface SessionTableComponents {
  readonly replica: Replica;
  readonly timers: Timers;
  readonly leases: LeaseTable;
  readonly logger: Logger;
  /** Identifiers of all session rows. */
  readonly listSessions: () => Promise<readonly number[]>;
}

/**
 * Who is connected and who has been silent for too long, for one term of this leader. All clocks start when it becomes
 * the leader, or go on from what the leader before has told, and leave everybody SESSION_HELLO_MS: a failover expires nobody.
 */
export class SessionTable {
  readonly #c: SessionTableComponents;
  readonly #hooks: SessionTableHooks;
  readonly #sessions = new Map<number, Session>();
  #timer: TimerHandle | undefined;
  #lastSweepMs: number;
  #expiries = 0;
  #loaded = false;
  /** Milliseconds by session, when this term began. */
  readonly #silentBefore: ReadonlyMap<number, number>;
  readonly #startMs: number;
  #sweepsUntilReload = 0;
  #closed = false;

  constructor(components: SessionTableComponents, hooks: SessionTableHooks) {
    this.#c = components;
    this.#hooks = hooks;
    this.#startMs = components.timers.nowMs();
    this.#lastSweepMs = this.#startMs;
    const told = components.replica.toldSilence();
    this.#silentBefore = new Map(told.map(({ session, silentMs }) => [session, silentMs]));
    this.#scheduleSweep();
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** False: there may be sessions that are not known here yet. */
  get loaded(): boolean {
    return this.#loaded;
  }

  get expiries(): number {
    return this.#expiries;
  }

  get(id: number): Session | undefined {
    return this.#sessions.get(id);
  }

  values(): Iterable<Session> {
    return this.#sessions.values();
  }

  /** Takes up every session row that is not known: those of the leader before, and those whose hello got no answer. */
  async load(): Promise<readonly number[]> {
    const ids = await this.#c.listSessions();
    if (!this.#closed) for (const id of ids) this.#ensure(id);
    this.#loaded = true;
    return ids;
  }

  /** A hello was accepted on `link`. An older stream of the session is closed: its client is not there any more. */
  attach(id: number, link: SessionLink): Session {
    const session = this.#ensure(id);
    const former = session.link;
    // The client dropped its cache before it said hello, so what was leased or recalled before does not matter.
    if (session.holder !== undefined) this.#c.leases.end(session.holder);
    session.link = link;
    session.holder = this.#c.leases.open(id, link);
    session.lastContactMs = this.#c.timers.nowMs();
    if (former !== undefined && former !== link) {
      this.#hooks.onDetached(session);
      former.close();
    }
    this.#hooks.onAttached(session);
    return session;
  }

  /** `link` is gone, unless the session has another one already. */
  detach(session: Session, link: SessionLink): void {
    if (session.link !== link) return;
    session.link = undefined;
    if (session.holder !== undefined) this.#c.leases.detach(session.holder);
    this.#hooks.onDetached(session);
  }

  touch(session: Session): void {
    session.lastContactMs = this.#c.timers.nowMs();
  }

  /** The client of `session` ends it, and has dropped its cache. Its stream stays, for the answer. Throws what propose throws. */
  async end(session: Session): Promise<void> {
    await this.#expire([session], { keepLink: true });
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    const links = [...this.#sessions.values()].map((session) => session.link);
    for (const session of this.#sessions.values()) session.link = undefined;
    this.#sessions.clear();
    for (const link of links) link?.close();
  }

  #ensure(id: number): Session {
    const known = this.#sessions.get(id);
    if (known !== undefined) return known;
    const session: Session = {
      id,
      lastContactMs: this.#firstContactMs(id),
      link: undefined,
      holder: undefined,
      expiring: false,
      expired: false,
    };
    this.#sessions.set(id, session);
    return session;
  }

  #firstContactMs(id: number): number {
    const silentMs = this.#silentBefore.get(id);
    if (silentMs === undefined) return this.#c.timers.nowMs();
    return this.#startMs - Math.min(silentMs, SESSION_TTL_MS - SESSION_HELLO_MS);
  }

  #scheduleSweep(): void {
    this.#timer = this.#c.timers.after(SESSION_SWEEP_INTERVAL_MS, () => {
      this.#sweep().then(
        () => this.#sweepDone(),
        (error: unknown) => {
          if (!isPassing(error)) this.#c.logger.error({ err: error }, 'session sweep failed');
          this.#sweepDone();
        },
      );
    });
  }

  #sweepDone(): void {
    if (!this.#closed) this.#scheduleSweep();
  }

  async #sweep(): Promise<void> {
    const now = this.#c.timers.nowMs();
    this.#forgiveOwnPause(now);
    this.#c.leases.prune();
    // A session whose hello died with its proposer's stream has a row that nobody attached to.
    if (this.#sweepsUntilReload-- <= 0) {
      this.#sweepsUntilReload = SESSION_TTL_MS / SESSION_SWEEP_INTERVAL_MS;
      await this.load();
      if (this.#closed) return;
    }
    const told = this.#silentFor(SESSION_SILENCE_TOLD_MS, now, SESSIONS_SILENT_TOLD_MAX);
    this.#c.replica.tellSilence(
      told.map(({ id, lastContactMs }) => ({ session: id, silentMs: Math.floor(now - lastContactMs) })),
    );
    const silent = this.#silentFor(SESSION_TTL_MS, now, SESSIONS_EXPIRED_PER_COMMAND_MAX);
    if (silent.length > 0) await this.#expire(silent);
  }

  #silentFor(leastMs: number, now: number, most: number): readonly Session[] {
    const silent: Session[] = [];
    for (const session of this.#sessions.values()) {
      if (now - session.lastContactMs < leastMs) continue;
      silent.push(session);
      if (silent.length === most) break;
    }
    return silent;
  }

  /** While this process did not run it could not hear anybody: requests may be waiting in the sockets. */
  #forgiveOwnPause(now: number): void {
    const late = now - this.#lastSweepMs - SESSION_SWEEP_INTERVAL_MS;
    this.#lastSweepMs = now;
    if (late < SESSION_SWEEP_INTERVAL_MS) return;
    for (const session of this.#sessions.values()) session.lastContactMs += late;
  }

  async #expire(silent: readonly Session[], options = { keepLink: false }): Promise<void> {
    for (const session of silent) session.expiring = true;
    const ids = silent.map((session) => session.id);
    try {
      await proposeCommand(this.#c.replica, { $case: 'expireSessions', value: { sessions: ids } });
    } catch (error) {
      // When it is unknown whether they are gone, commits will tell them; leases stay refused until it is known.
      if (!(error instanceof ProposalLostError)) for (const session of silent) session.expiring = false;
      throw error;
    }
    if (this.#closed) return;
    this.#expiries += ids.length;
    this.#c.logger.info({ sessions: ids }, 'sessions expired');
    for (const session of silent) if (!session.expired) this.#remove(session, options);
  }

  #remove(session: Session, { keepLink }: { readonly keepLink: boolean }): void {
    this.#sessions.delete(session.id);
    session.expired = true;
    // Silent for SESSION_TTL_MS, so its lease time is long over; or its client has said that it uses nothing more.
    if (session.holder !== undefined) this.#c.leases.end(session.holder);
    const link = session.link;
    session.link = undefined;
    this.#hooks.onExpired(session);
    if (!keepLink) link?.close();
  }
}
