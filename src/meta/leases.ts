import { assert } from '../base/assert.ts';
import {
  LEASE_EVICTION_BATCH,
  LEASE_MARGIN_MS,
  LEASE_TTL_MS,
  LEASES_PER_SESSION_MAX,
} from '../base/limits.ts';
import type { Recall, RecalledInode } from '../gen/ringfs/v1/meta.ts';
import type { TouchedInode } from '../gen/ringfs/v1/namespace.ts';
import type { TimerHandle, Timers } from '../ports/clock.ts';
import { type Deferred, deferred } from './deferred.ts';

/** Inodes that a session changed, in log order. */
export interface SessionChange {
  readonly session: number;
  readonly touched: readonly TouchedInode[];
}

/** One stream of one session, as the lease table knows it. A session that comes back on a new stream has dropped its
 * cache, and gets a new holder. */
export interface LeaseHolder {
  readonly session: number;
  /** Until when the client may use what it cached from leased replies, by this server's clock, margin included. */
  readonly validUntilMs: number;
}

/** The way to the client. */
export interface LeaseStream {
  recall(recall: Recall): void;
  /** Ends the stream. The client comes back without a cache. */
  close(): void;
}

interface Holder extends LeaseHolder {
  validUntilMs: number;
  /** Undefined: the stream is gone. */
  stream: LeaseStream | undefined;
  ended: boolean;
  /** Leased inodes; the order of insertion is the order of eviction. */
  readonly inos: Set<number>;
  readonly pending: Map<number, PendingRecall>;
}

interface PendingRecall {
  readonly id: number;
  readonly holder: Holder;
  readonly inos: readonly number[];
  readonly done: Deferred<void>;
  timer: TimerHandle | undefined;
}

/** What a reply with a lease has in common. */
export interface LeasedReply {
  leased: boolean;
}

/**
 * A read in progress, which must learn of every change to what it reads. It stays registered a little longer than the read:
 * between the making of a reply and its way onto the stream other promises may run, and a recall sent by one of them would
 * overtake the reply. Such a reply loses its `leased` while it is still ours.
 */
export class ReadTicket {
  readonly inos = new Set<number>();
  readonly holder: LeaseHolder | undefined;
  disturbed = false;
  reply: LeasedReply | undefined;

  constructor(holder: LeaseHolder | undefined) {
    this.holder = holder;
  }

  disturb(): void {
    this.disturbed = true;
    if (this.reply !== undefined) this.reply.leased = false;
  }
}

/** Long enough for a reply that was returned to be on its stream: microtasks only lie between. */
const TICKET_LINGER_MS = 1;

export interface LeaseStats {
  leases: number;
  recallsSent: number;
  recallsPending: number;
  /** Recalls that were ended by the lease time instead of an acknowledgement. */
  recallsExpired: number;
  evicted: number;
}

/**
 * Which session caches which inode, and the recalls that make it stop. Only the leader has one, in memory, for one term.
 *
 * Why a change is never acknowledged while another client still uses what it replaced: a reply claims a lease only when the
 * inode was registered before it was read and not changed since. A change sends a recall on the same ordered stream as the
 * replies, so every reply that claims a lease from before the change arrives before the recall, and the change is
 * acknowledged only after the client's answer to the recall, or when the client's lease time has run out. The lease time is
 * counted from the last ping that was answered with a valid lease BEFORE the recall was sent: a later answer comes after
 * the recall on the stream, when the client has dropped the inode already. A recall ends the lease: the client drops
 * all that it has of the inode, whatever the version.
 */
export class LeaseTable {
  readonly #timers: Timers;
  readonly #leasesPerSessionMax: number;
  readonly #holders = new Set<Holder>();
  readonly #bySession = new Map<number, Holder>();
  readonly #byIno = new Map<number, Holder[]>();
  readonly #pendingByIno = new Map<number, Set<PendingRecall>>();
  readonly #reads = new Map<number, Set<ReadTicket>>();
  #lingering: ReadTicket[] = [];
  #lingerTimer: TimerHandle | undefined;
  #nextRecallId = 1;
  #changes = 0;
  #closed = false;
  readonly #stats: LeaseStats = {
    leases: 0,
    recallsSent: 0,
    recallsPending: 0,
    recallsExpired: 0,
    evicted: 0,
  };

  constructor(
    components: { readonly timers: Timers },
    options: { readonly leasesPerSessionMax?: number } = {},
  ) {
    this.#timers = components.timers;
    this.#leasesPerSessionMax = options.leasesPerSessionMax ?? LEASES_PER_SESSION_MAX;
  }

  /** Counts batches with changes: equal numbers before and after mean that nothing changed between. */
  get changes(): number {
    return this.#changes;
  }

  stats(): Readonly<LeaseStats> {
    return { ...this.#stats };
  }

  /** A session's stream begins. The session has no other one that could get leases from now on. */
  open(session: number, stream: LeaseStream): LeaseHolder {
    const holder: Holder = {
      session,
      validUntilMs: Number.NEGATIVE_INFINITY,
      stream,
      ended: false,
      inos: new Set(),
      pending: new Map(),
    };
    this.#holders.add(holder);
    this.#bySession.set(session, holder);
    return holder;
  }

  /** The stream is gone. The client may not know yet, so its leases count until their time has run out. */
  detach(holder: LeaseHolder): void {
    own(holder).stream = undefined;
  }

  /** The client has dropped its cache, or has been expired: nothing needs to be recalled from it any more. */
  end(lease: LeaseHolder): void {
    const holder = own(lease);
    holder.ended = true;
    holder.stream = undefined;
    this.#holders.delete(holder);
    if (this.#bySession.get(holder.session) === holder) this.#bySession.delete(holder.session);
    for (const ino of holder.inos) this.#unlist(ino, holder);
    this.#stats.leases -= holder.inos.size;
    holder.inos.clear();
    for (const pending of [...holder.pending.values()]) this.#settle(pending);
  }

  /** Ends holders without a stream whose lease time is over. */
  prune(): void {
    const now = this.#timers.nowMs();
    for (const holder of [...this.#holders]) {
      if (holder.stream === undefined && holder.validUntilMs <= now) this.end(holder);
    }
  }

  /** A ping is about to be answered with a valid lease. */
  grant(lease: LeaseHolder): void {
    const holder = own(lease);
    if (holder.stream !== undefined)
      holder.validUntilMs = this.#timers.nowMs() + LEASE_TTL_MS + LEASE_MARGIN_MS;
  }

  /** Registers a read of `inos` and leases them. To be called before the rows are read. */
  begin(lease: LeaseHolder | undefined, inos: Iterable<number>): ReadTicket {
    const ticket = new ReadTicket(lease);
    this.extend(ticket, inos);
    return ticket;
  }

  /** Adds inodes to a read. Returns whether there were new ones, whose changes before now went unseen. */
  extend(ticket: ReadTicket, inos: Iterable<number>): boolean {
    const before = ticket.inos.size;
    for (const ino of inos) {
      if (ticket.inos.has(ino)) continue;
      ticket.inos.add(ino);
      const reads = this.#reads.get(ino);
      if (reads === undefined) this.#reads.set(ino, new Set([ticket]));
      else reads.add(ticket);
    }
    this.lease(ticket);
    return ticket.inos.size > before;
  }

  /** Leases everything that the read covers, unless the client could not use it. */
  lease(ticket: ReadTicket): void {
    if (ticket.holder === undefined) return;
    const holder = own(ticket.holder);
    if (!this.#usable(holder)) return;
    for (const ino of ticket.inos) this.#list(ino, holder);
    if (holder.inos.size > this.#leasesPerSessionMax) this.#evict(holder);
  }

  /** Ends a read. `reply.leased` says whether everything it covers is leased, and is taken back if that changes before the
   * reply is on its stream. */
  finish(ticket: ReadTicket, reply: LeasedReply | undefined): void {
    if (reply !== undefined) {
      reply.leased = !ticket.disturbed && this.#holdsAll(ticket);
      ticket.reply = reply;
    }
    this.#lingering.push(ticket);
    if (this.#closed) this.#forgetLingering();
    else this.#lingerTimer ??= this.#timers.after(TICKET_LINGER_MS, () => this.#forgetLingering());
  }

  /**
   * Recalls what others cache of the changed inodes, and leases them to who changed them: the answer to a commit says how its
   * inodes are now, and the client caches that. To be called when the changes are visible to reads and before any of
   * them is answered.
   */
  change(batch: readonly SessionChange[]): void {
    const changed = changedInodes(batch);
    if (changed.size === 0) return;
    this.#changes++;
    const recalls = new Map<Holder, Set<RecalledInode>>();
    // In log order, so that of several sessions that changed an inode in this batch only the last one keeps it.
    for (const { session, touched } of batch) {
      const committer = this.#bySession.get(session);
      for (const { attr } of touched) {
        const recalled = attr && changed.get(attr.ino);
        if (recalled !== undefined) this.#changeOne(recalled, session, committer, recalls);
      }
      if (committer !== undefined && committer.inos.size > this.#leasesPerSessionMax) this.#evict(committer);
    }
    for (const [holder, inodes] of recalls) this.#recall(holder, [...inodes]);
  }

  #changeOne(
    recalled: RecalledInode,
    session: number,
    committer: Holder | undefined,
    recalls: Map<Holder, Set<RecalledInode>>,
  ): void {
    const { ino } = recalled;
    for (const ticket of this.#reads.get(ino) ?? []) ticket.disturb();
    for (const holder of [...(this.#byIno.get(ino) ?? [])]) {
      if (holder.session === session) continue;
      this.#release(ino, holder);
      const inodes = recalls.get(holder);
      if (inodes === undefined) recalls.set(holder, new Set([recalled]));
      else inodes.add(recalled);
    }
    if (committer === undefined) return;
    if (this.#usable(committer)) this.#list(ino, committer);
    else if (this.#overfull(committer)) this.#dropClient(committer);
  }

  /** The inode is deleted and its number is never given out again: what is cached of it can do no harm. */
  forget(ino: number): void {
    for (const holder of [...(this.#byIno.get(ino) ?? [])]) this.#release(ino, holder);
  }

  acknowledge(lease: LeaseHolder, recallId: number): void {
    const pending = own(lease).pending.get(recallId);
    if (pending !== undefined) this.#settle(pending);
  }

  /** Resolves when no session but `exceptSession` can still be using a recalled version of these inodes. Undefined: at
   * once. */
  settled(inos: Iterable<number>, exceptSession: number): Promise<unknown> | undefined {
    let waits: Set<Promise<void>> | undefined;
    for (const ino of inos) {
      for (const pending of this.#pendingByIno.get(ino) ?? []) {
        if (pending.holder.session === exceptSession) continue;
        waits ??= new Set();
        waits.add(pending.done.promise);
      }
    }
    return waits && Promise.all(waits);
  }

  /** Like `settled`, for everything. */
  allSettled(exceptSession: number): Promise<unknown> | undefined {
    return this.settled(this.#pendingByIno.keys(), exceptSession);
  }

  /** Leadership is over: nothing is leased, and nobody waits any longer. Who waited must check whether it still leads. */
  close(): void {
    this.#closed = true;
    for (const holder of [...this.#holders]) this.end(holder);
    for (const tickets of this.#reads.values()) for (const ticket of tickets) ticket.disturb();
    this.#reads.clear();
    this.#forgetLingering();
  }

  #usable(holder: Holder): boolean {
    return (
      !this.#closed &&
      !holder.ended &&
      holder.stream !== undefined &&
      holder.validUntilMs > this.#timers.nowMs() &&
      !this.#overfull(holder)
    );
  }

  /** A client that answers no recalls gets no more leases. */
  #overfull(holder: Holder): boolean {
    return holder.inos.size >= this.#leasesPerSessionMax + LEASE_EVICTION_BATCH;
  }

  /** It would cache the answer to its commit and could not be made to forget it. Without its stream it forgets all. */
  #dropClient(holder: Holder): void {
    const stream = holder.stream;
    holder.stream = undefined;
    stream?.close();
  }

  #holdsAll(ticket: ReadTicket): boolean {
    if (ticket.holder === undefined) return false;
    const holder = own(ticket.holder);
    if (!this.#usable(holder)) return false;
    for (const ino of ticket.inos) if (!holder.inos.has(ino)) return false;
    return true;
  }

  #list(ino: number, holder: Holder): void {
    if (holder.inos.delete(ino)) {
      holder.inos.add(ino); // now the youngest
      return;
    }
    holder.inos.add(ino);
    this.#stats.leases++;
    const holders = this.#byIno.get(ino);
    if (holders === undefined) this.#byIno.set(ino, [holder]);
    else holders.push(holder);
  }

  #unlist(ino: number, holder: Holder): void {
    const holders = this.#byIno.get(ino);
    const at = holders?.indexOf(holder) ?? -1;
    assert(holders !== undefined && at >= 0, 'a lease is listed under its inode');
    if (holders.length === 1) this.#byIno.delete(ino);
    else holders.splice(at, 1);
  }

  #release(ino: number, holder: Holder): void {
    if (!holder.inos.delete(ino)) return;
    this.#unlist(ino, holder);
    this.#stats.leases--;
  }

  /** Recalls the oldest leases. They were not changed, which version 0 says. */
  #evict(holder: Holder): void {
    if (holder.pending.size > 0) return; // one at a time: a slow client is not flooded
    const inodes: RecalledInode[] = [];
    const count = Math.min(LEASE_EVICTION_BATCH, Math.ceil(this.#leasesPerSessionMax / 2));
    for (const ino of holder.inos) {
      if (inodes.length >= count) break;
      inodes.push({ ino, version: 0, dataChanged: false, removed: false });
      this.#release(ino, holder);
      for (const ticket of this.#reads.get(ino) ?? []) if (ticket.holder === holder) ticket.disturb();
    }
    this.#stats.evicted += inodes.length;
    this.#recall(holder, inodes);
  }

  #recall(holder: Holder, inodes: RecalledInode[]): void {
    const waitMs = holder.validUntilMs - this.#timers.nowMs();
    const id = this.#nextRecallId++;
    if (waitMs > 0) {
      const inos = inodes.map((inode) => inode.ino);
      const pending: PendingRecall = { id, holder, inos, done: deferred(), timer: undefined };
      pending.timer = this.#timers.after(waitMs, () => {
        this.#stats.recallsExpired++;
        this.#settle(pending);
      });
      holder.pending.set(id, pending);
      this.#stats.recallsPending++;
      for (const ino of inos) {
        const set = this.#pendingByIno.get(ino);
        if (set === undefined) this.#pendingByIno.set(ino, new Set([pending]));
        else set.add(pending);
      }
    }
    // Sent even when there is nothing to wait for: the next ping may make the lease valid again.
    if (holder.stream !== undefined) {
      this.#stats.recallsSent++;
      holder.stream.recall({ recallId: id, inodes });
    }
  }

  #settle(pending: PendingRecall): void {
    if (!pending.holder.pending.delete(pending.id)) return;
    pending.timer?.cancel();
    this.#stats.recallsPending--;
    for (const ino of pending.inos) {
      const set = this.#pendingByIno.get(ino);
      set?.delete(pending);
      if (set?.size === 0) this.#pendingByIno.delete(ino);
    }
    pending.done.resolve();
  }

  #forgetLingering(): void {
    this.#lingerTimer?.cancel();
    this.#lingerTimer = undefined;
    for (const ticket of this.#lingering) {
      for (const ino of ticket.inos) {
        const reads = this.#reads.get(ino);
        reads?.delete(ticket);
        if (reads?.size === 0) this.#reads.delete(ino);
      }
    }
    this.#lingering = [];
  }
}

function own(holder: LeaseHolder): Holder {
  assert('pending' in holder, 'a lease holder is made by the table');
  return holder as Holder;
}

/** Each changed inode once: its last version, and all that happened to it. */
function changedInodes(batch: readonly SessionChange[]): Map<number, RecalledInode> {
  const changed = new Map<number, RecalledInode>();
  for (const { touched } of batch) {
    for (const { attr, previousDataVersion, removed } of touched) {
      if (attr === undefined) continue;
      const known = changed.get(attr.ino);
      const dataChanged = attr.dataVersion !== previousDataVersion;
      if (known === undefined) {
        changed.set(attr.ino, { ino: attr.ino, version: attr.version, dataChanged, removed });
      } else {
        known.version = attr.version;
        known.dataChanged ||= dataChanged;
        known.removed ||= removed;
      }
    }
  }
  return changed;
}
