import { LEASE_MARGIN_MS, LEASE_TTL_MS } from '../base/limits.ts';
import type { TimerHandle, Timers } from '../ports/clock.ts';
import { type Deferred, deferred } from './deferred.ts';

/**
 * A new leader does not know what the clients cache under leases of the leader before. Until those have certainly run out, or
 * every session has said hello here, by which it has dropped its cache, no mutation may be acknowledged.
 *
 * Only the answers are held back. The mutations are applied meanwhile: a client that still reads its cache sees the tree as
 * it was before a mutation that nobody has been told about, which is a legal order of events; and the log does not stand
 * still during a failover, so that all answers go out at once when the time is over.
 */
export class HoldBack {
  readonly #timer: TimerHandle;
  readonly #released: Deferred<void> = deferred();
  /** Sessions that have not said hello; undefined: not known yet. */
  #missing: Set<number> | undefined;
  readonly #early = new Set<number>();
  #over = false;

  /** Counts from now, which is later than the last lease that the former leader gave: it gave none without a quorum. */
  constructor(components: { readonly timers: Timers }) {
    this.#timer = components.timers.after(LEASE_TTL_MS + LEASE_MARGIN_MS, () => this.#release());
  }

  /** The sessions that exist in the state machine. */
  expect(sessions: Iterable<number>): void {
    if (this.#over) return;
    this.#missing = new Set(sessions);
    for (const session of this.#early) this.#missing.delete(session);
    if (this.#missing.size === 0) this.#release();
  }

  /** A session said hello, or does not exist any more. */
  heard(session: number): void {
    if (this.#over) return;
    this.#early.add(session);
    this.#missing?.delete(session);
    if (this.#missing?.size === 0) this.#release();
  }

  /** Undefined: mutations may be answered. */
  wait(): Promise<void> | undefined {
    return this.#over ? undefined : this.#released.promise;
  }

  /** Ends the wait; who waited must check whether this is still the leader. */
  close(): void {
    this.#release();
  }

  #release(): void {
    this.#over = true;
    this.#timer.cancel();
    this.#early.clear();
    this.#missing = undefined;
    this.#released.resolve();
  }
}
