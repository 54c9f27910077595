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

interface Holder extends LeaseHolder {
  validUntilMs: number;
  send: ((recall: Recall) => void) | undefined;
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

  /** A session's stream begins. `send` pushes a recall on it. */
  open(session: number, send: (recall: Recall) => void): LeaseHolder {
    const holder: Holder = {
      session,
      validUntilMs: Number.NEGATIVE_INFINITY,
      send,
      ended: false,
      inos: new Set(),
      pending: new Map(),
    };
    this.#holders.add(holder);
    return holder;
  }

  /** The stream is gone. The client may not know yet, so its leases count until their time has run out. */
  detach(holder: LeaseHolder): void {
    own(holder).send = undefined;
  }

  /** The client has dropped its cache, or has been expired: nothing needs to be recalled from it any more. */
  end(lease: LeaseHolder): void {
    const holder = own(lease);
    holder.ended = true;
    holder.send = undefined;
    this.#holders.delete(holder);
    for (const ino of holder.inos) this.#unlist(ino, holder);
    this.#stats.leases -= holder.inos.size;
    holder.inos.clear();
    for (const pending of [...holder.pending.values()]) this.#settle(pending);
  }

  /** Ends holders without a stream whose lease time is over. */
  prune(): void {
    const now = this.#timers.nowMs();
    for (const holder of [...this.#holders]) {
      if (holder.send === undefined && holder.validUntilMs <= now) this.end(holder);
    }
  }

  /** A ping is about to be answered with a valid lease. */
  grant(lease: LeaseHolder): void {
    const holder = own(lease);
    if (holder.send !== undefined) holder.validUntilMs = this.#timers.nowMs() + LEASE_TTL_MS + LEASE_MARGIN_MS;
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

  /** Recalls what others cache of the changed inodes. To be called when the changes are visible to reads and before any
   * of them is answered. */
  change(batch: readonly SessionChange[]): void {
    const changed = aggregate(batch);
    if (changed.size === 0) return;
    this.#changes++;
    const recalls = new Map<Holder, RecalledInode[]>();
    for (const [ino, { recalled, sessions }] of changed) {
      for (const ticket of this.#reads.get(ino) ?? []) ticket.disturb();
      for (const holder of [...(this.#byIno.get(ino) ?? [])]) {
        if (sessions.size === 1 && sessions.has(holder.session)) continue;
        this.#release(ino, holder);
        const list = recalls.get(holder);
        if (list === undefined) recalls.set(holder, [recalled]);
        else list.push(recalled);
      }
    }
    for (const [holder, inodes] of recalls) this.#recall(holder, inodes);
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
      holder.send !== undefined &&
      holder.validUntilMs > this.#timers.nowMs() &&
      // A client that answers no recalls gets no more leases.
      holder.inos.size < this.#leasesPerSessionMax + LEASE_EVICTION_BATCH
    );
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
    if (holder.send !== undefined) {
      this.#stats.recallsSent++;
      holder.send({ recallId: id, inodes });
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

/** Each changed inode once: its last version, and who changed it. */
function aggregate(
  batch: readonly SessionChange[],
): Map<number, { recalled: RecalledInode; sessions: Set<number> }> {
  const changed = new Map<number, { recalled: RecalledInode; sessions: Set<number> }>();
  for (const { session, touched } of batch) {
    for (const { attr, previousDataVersion, removed } of touched) {
      if (attr === undefined) continue;
      const known = changed.get(attr.ino);
      const recalled = {
        ino: attr.ino,
        version: attr.version,
        dataChanged: (known?.recalled.dataChanged ?? false) || attr.dataVersion !== previousDataVersion,
        removed: (known?.recalled.removed ?? false) || removed,
      };
      if (known === undefined) changed.set(attr.ino, { recalled, sessions: new Set([session]) });
      else {
        known.recalled = recalled;
        known.sessions.add(session);
      }
    }
  }
  return changed;
}
