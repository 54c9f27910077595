import type { Instant, TimerHandle, Timers } from '../../ports/clock.ts';

/** The machine's own clocks and timers. */
export class SystemTimers implements Timers {
  nowMs(): number {
    return performance.now();
  }

  wallTime(): Instant {
    // timeOrigin + now() has sub-millisecond resolution but drifts from the clock when that is set; Date does not.
    const ms = Date.now();
    const fraction = performance.now();
    const sec = Math.floor(ms / 1000);
    const nsec = (ms % 1000) * 1_000_000 + Math.floor((fraction - Math.floor(fraction)) * 1_000_000);
    return { sec, nsec };
  }

  after(delayMs: number, callback: () => void): TimerHandle {
    const timer = setTimeout(callback, delayMs);
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  }

  async sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
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
