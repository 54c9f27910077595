import { ERRNO } from '../base/errno.ts';
import {
  ORPHAN_BATCH_MAX,
  ORPHAN_CHUNKS_PER_REAP_MAX,
  ORPHAN_QUERY_TIMEOUT_MS,
  ORPHAN_REAPS_IN_FLIGHT_MAX,
  ORPHAN_ROUND_INTERVAL_MS,
} from '../base/limits.ts';
import type { TimerHandle, Timers } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import { type Deferred, deferred } from './deferred.ts';
import { OrphanQueue } from './orphan-queue.ts';
import { proposeCommand } from './propose.ts';
import { isPassing, type Replica } from './replica.ts';
import type { Session, SessionTable } from './sessions.ts';

export interface OrphanReaperComponents {
  readonly replica: Replica;
  readonly timers: Timers;
  readonly logger: Logger;
  readonly sessions: Pick<SessionTable, 'values' | 'loaded'>;
  /** Inodes that have orphan rows with numbers greater than `after`, in order. */
  readonly listOrphans: (after: number, limit: number) => Promise<readonly number[]>;
  /** The inode does not exist any more. */
  readonly onReaped: (ino: number) => void;
}

/** One OpenInodesQuery on its way to all sessions. */
interface Query {
  readonly id: number;
  /** Sessions that have not answered. */
  readonly missing: Set<Session>;
  readonly open: Set<number>;
  /** True: everybody answered. */
  readonly answered: Deferred<boolean>;
}

/**
 * Deletes the content of unlinked inodes that no client has open. A session that exists but is not connected may have
 * any of them open, so nothing is deleted until it comes back or expires.
 */
export class OrphanReaper {
  readonly #c: OrphanReaperComponents;
  readonly #queue: OrphanQueue;
  #timer: TimerHandle | undefined;
  #query: Query | undefined;
  #nextQueryId = 1;
  #rescan = true;
  #closed = false;
  #reaped = 0;

  constructor(components: OrphanReaperComponents, options: { readonly queueMax?: number } = {}) {
    this.#c = components;
    this.#queue = new OrphanQueue(options.queueMax);
  }

  get queued(): number {
    return this.#queue.size;
  }

  get reaped(): number {
    return this.#reaped;
  }

  start(): void {
    this.#schedule();
  }

  /** An inode lost its last name. */
  add(ino: number): void {
    if (!this.#closed && !this.#queue.add(ino)) this.#rescan = true;
  }

  /** What a client answered to a query. */
  onReply(session: Session, queryId: number, open: readonly number[]): void {
    const query = this.#query;
    if (query === undefined || query.id !== queryId) return;
    for (const ino of open) query.open.add(ino);
    query.missing.delete(session);
    if (query.missing.size === 0) query.answered.resolve(true);
  }

  /** A client went away before it answered: it may have anything open. */
  onDetached(session: Session): void {
    if (this.#query?.missing.has(session)) this.#query.answered.resolve(false);
  }

  /** A session is gone and has nothing open any more. */
  onExpired(session: Session): void {
    const query = this.#query;
    if (query?.missing.delete(session) && query.missing.size === 0) query.answered.resolve(true);
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#query?.answered.resolve(false);
  }

  #schedule(): void {
    if (this.#closed) return;
    this.#timer = this.#c.timers.after(ORPHAN_ROUND_INTERVAL_MS, () => {
      this.#rounds().then(
        () => this.#schedule(),
        (error: unknown) => {
          if (!isPassing(error)) this.#c.logger.error({ err: error }, 'orphan round failed');
          this.#schedule();
        },
      );
    });
  }

  /** Rounds until nothing is due: a big deletion does not wait an interval per batch. */
  async #rounds(): Promise<void> {
    if (!this.#c.sessions.loaded) return; // a session not known yet could have anything open
    if (this.#rescan && this.#queue.hasRoom) {
      this.#rescan = !(await this.#scan());
    }
    while (!this.#closed) {
      const batch = this.#queue.due(this.#c.timers.nowMs(), ORPHAN_BATCH_MAX);
      if (batch.length === 0) return;
      const open = await this.#openInodes(batch);
      if (open === undefined || this.#closed) return;
      await this.#reapAll(batch, open);
    }
  }

  /** Queues the inodes that have orphan rows. False: the queue is full, the rest is left for another scan. */
  async #scan(): Promise<boolean> {
    for (let after = 0; !this.#closed; ) {
      const inos = await this.#c.listOrphans(after, ORPHAN_BATCH_MAX);
      for (const ino of inos) if (!this.#queue.add(ino)) return false;
      const last = inos.at(-1);
      if (last === undefined || inos.length < ORPHAN_BATCH_MAX) return true;
      after = last;
    }
    return true;
  }

  /** Which of `inos` some client has open; undefined when that cannot be found out now. */
  async #openInodes(inos: readonly number[]): Promise<ReadonlySet<number> | undefined> {
    const sessions = [...this.#c.sessions.values()];
    if (sessions.some((session) => session.link === undefined)) return undefined;
    if (sessions.length === 0) return new Set();
    const query: Query = {
      id: this.#nextQueryId++,
      missing: new Set(sessions),
      open: new Set(),
      answered: deferred(),
    };
    this.#query = query;
    for (const session of sessions) session.link?.query({ queryId: query.id, inos: [...inos] });
    const timeout = this.#c.timers.after(ORPHAN_QUERY_TIMEOUT_MS, () => query.answered.resolve(false));
    const answered = await query.answered.promise;
    timeout.cancel();
    this.#query = undefined;
    return answered ? query.open : undefined;
  }

  /** A session that said hello for the first time after the query cannot have an inode open that had no name by then. */
  async #reapAll(inos: readonly number[], open: ReadonlySet<number>): Promise<void> {
    const now = this.#c.timers.nowMs();
    const free: number[] = [];
    for (const ino of inos) {
      if (open.has(ino)) this.#queue.retryLater(ino, now);
      else free.push(ino);
    }
    const lane = async (): Promise<void> => {
      try {
        for (let ino = free.pop(); ino !== undefined && !this.#closed; ino = free.pop())
          await this.#reap(ino);
      } finally {
        free.length = 0; // after a failure the others stop too, and all of them are tried again
      }
    };
    await Promise.all(Array.from({ length: ORPHAN_REAPS_IN_FLIGHT_MAX }, lane));
  }

  async #reap(ino: number): Promise<void> {
    for (;;) {
      const applied = await proposeCommand(this.#c.replica, {
        $case: 'reapOrphan',
        value: { ino, chunksMax: ORPHAN_CHUNKS_PER_REAP_MAX },
      });
      if (this.#closed) return;
      const result = applied.outcome.result.body;
      if (result?.$case === 'rejected') {
        // One made without a name got its first. Anything else is strange; its row, if any, is found by the next leader.
        const { errno, detail } = result.value;
        if (errno === ERRNO.EBUSY) this.#c.logger.debug({ ino }, 'an orphan got a name');
        else this.#c.logger.warn({ ino, errno, detail }, 'orphan not reaped');
        break;
      }
      if (applied.outcome.value === 0) {
        this.#reaped++;
        this.#c.onReaped(ino);
        break;
      }
    }
    this.#queue.done(ino);
  }
}
