import type { Instant, TimerHandle, Timers } from '../../src/ports/clock.ts';
import { sleepBy } from './timer-sleep.ts';

interface Pending {
  readonly at: number;
  readonly order: number;
  readonly callback: () => void;
}

/**
 * Time that moves only when a test says so. Callbacks run in the order of their due time, then of their
 * scheduling, and everything that they set off as microtasks finishes before the next one runs.
 */
export class VirtualTimers implements Timers {
  #now = 0;
  #order = 0;
  readonly #pending = new Set<Pending>();

  nowMs(): number {
    return this.#now;
  }

  wallTime(): Instant {
    const sec = Math.floor(this.#now / 1000);
    return { sec: 1_700_000_000 + sec, nsec: Math.floor((this.#now - sec * 1000) * 1e6) };
  }

  after(delayMs: number, callback: () => void): TimerHandle {
    const entry: Pending = { at: this.#now + Math.max(0, delayMs), order: this.#order++, callback };
    this.#pending.add(entry);
    return { cancel: () => this.#pending.delete(entry) };
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return sleepBy(this, delayMs, signal);
  }

  /** Timers that wait: a test that expects none can say so. */
  get waiting(): number {
    return this.#pending.size;
  }

  /** Let `ms` pass. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await settle();
    for (;;) {
      const next = this.#earliest(end);
      if (next === undefined) break;
      this.#pending.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.callback();
      await settle();
    }
    this.#now = end;
  }

  /** Let time pass until `condition` holds; throws when it does not within `limitMs`. */
  async until(condition: () => boolean, limitMs: number, what: string): Promise<void> {
    const end = this.#now + limitMs;
    await settle();
    while (!condition()) {
      const next = this.#earliest(end);
      if (next === undefined) throw new Error(`not within ${limitMs} ms: ${what}`);
      this.#pending.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.callback();
      await settle();
    }
  }

  /** The result of `promise`, letting as much time pass as it needs, up to `limitMs`. */
  async resolve<T>(promise: Promise<T>, limitMs = 600_000): Promise<T> {
    let done = false;
    const finish = (): void => {
      done = true;
    };
    promise.then(finish, finish);
    await this.until(() => done, limitMs, 'promise');
    return promise;
  }

  #earliest(end: number): Pending | undefined {
    let best: Pending | undefined;
    for (const entry of this.#pending) {
      if (entry.at > end) continue;
      if (best === undefined || entry.at < best.at || (entry.at === best.at && entry.order < best.order)) {
        best = entry;
      }
    }
    return best;
  }
}

/** All microtasks run before an immediate does; a second turn covers what an immediate itself set off. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 2; i++) await new Promise<void>((resolve) => setImmediate(resolve));
}
