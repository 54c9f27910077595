import { assert } from '../../base/assert.ts';
import type { Instant, TimerHandle, Timers } from '../../ports/clock.ts';

/** Longer delays overflow Node's timers, which then fire at once. 24 days. */
const DELAY_MS_MAX = 2 ** 31 - 1;

function checkDelay(delayMs: number): void {
  assert(delayMs <= DELAY_MS_MAX, `a delay of ${delayMs} ms does not fit into a timer`);
}

/** The machine's own clocks and timers. */
export class SystemTimers implements Timers {
  readonly #wallMs: () => number;
  readonly #monotonicMs: () => number;
  /** What the monotonic clock lacks to the wall clock. */
  #offsetMs: number;

  constructor(
    clocks: { wallMs: () => number; monotonicMs: () => number } = {
      wallMs: () => Date.now(),
      monotonicMs: () => performance.now(),
    },
  ) {
    this.#wallMs = clocks.wallMs;
    this.#monotonicMs = clocks.monotonicMs;
    this.#offsetMs = clocks.wallMs() - clocks.monotonicMs();
  }

  nowMs(): number {
    return this.#monotonicMs();
  }

  /**
   * The wall clock has whole milliseconds, and the monotonic clock the rest. They drift apart, so the offset is corrected to
   * stay within the wall clock's millisecond: time goes back only when somebody sets the clock back.
   */
  wallTime(): Instant {
    const ms = this.#wallMs();
    const nowMs = this.#monotonicMs();
    this.#offsetMs = Math.min(Math.max(this.#offsetMs, ms - nowMs), ms - nowMs + 0.999_999);
    const fraction = Math.min(Math.max(this.#offsetMs + nowMs - ms, 0), 0.999_999);
    return {
      sec: Math.floor(ms / 1000),
      nsec: (ms % 1000) * 1_000_000 + Math.floor(fraction * 1_000_000),
    };
  }

  after(delayMs: number, callback: () => void): TimerHandle {
    checkDelay(delayMs);
    const timer = setTimeout(callback, delayMs);
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  }

  async sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    checkDelay(delayMs);
    signal?.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => {
        clearTimeout(timer);
        reject(signal?.reason instanceof Error ? signal.reason : new Error('aborted'));
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      }, delayMs);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }
}
