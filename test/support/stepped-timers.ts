import type { Instant, TimerHandle, Timers } from '../../src/ports/clock.ts';
import { sleepBy } from './timer-sleep.ts';

interface Entry {
  readonly atMs: number;
  readonly order: number;
  readonly callback: () => void;
}

/** Time that passes only when a test says so. */
export class SteppedTimers implements Timers {
  #nowMs = 0;
  #order = 0;
  #entries: Entry[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  wallTime(): Instant {
    const ms = 1_700_000_000_000 + this.#nowMs;
    return { sec: Math.floor(ms / 1000), nsec: Math.floor((ms % 1000) * 1e6) };
  }

  after(delayMs: number, callback: () => void): TimerHandle {
    const entry: Entry = { atMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, callback };
    this.#entries.push(entry);
    return {
      cancel: () => {
        this.#entries = this.#entries.filter((e) => e !== entry);
      },
    };
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return sleepBy(this, delayMs, signal);
  }

  /** Timers waiting. */
  get pending(): number {
    return this.#entries.length;
  }

  /** Lets `ms` pass, calling what becomes due in order, each at its time. */
  advance(ms: number): void {
    const until = this.#nowMs + ms;
    for (;;) {
      const next = this.#next(until);
      if (next === undefined) break;
      this.#entries = this.#entries.filter((e) => e !== next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.callback();
    }
    this.#nowMs = until;
  }

  /** The event loop stood still for `ms`: what became due meanwhile is called once, late. */
  stall(ms: number): void {
    this.#nowMs += ms;
    this.advance(0);
  }

  #next(until: number): Entry | undefined {
    let best: Entry | undefined;
    for (const e of this.#entries) {
      if (e.atMs > until) continue;
      if (best === undefined || e.atMs < best.atMs || (e.atMs === best.atMs && e.order < best.order))
        best = e;
    }
    return best;
  }
}
