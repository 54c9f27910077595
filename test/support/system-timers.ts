import type { Timers } from '../../src/ports/clock.ts';

/** The machine's clock and timers, for test processes that stand outside of any simulation. */
export function systemTimers(): Timers {
  return {
    nowMs: () => performance.now(),
    wallTime: () => {
      const milliseconds = performance.timeOrigin + performance.now();
      const sec = Math.floor(milliseconds / 1000);
      return { sec, nsec: Math.floor((milliseconds - sec * 1000) * 1_000_000) };
    },
    after: (delayMs, callback) => {
      const timer = setTimeout(callback, delayMs);
      timer.unref();
      return { cancel: () => clearTimeout(timer) };
    },
    sleep: (delayMs, signal) =>
      new Promise((resolve, reject) => {
        signal?.throwIfAborted();
        const onAbort = (): void => {
          clearTimeout(timer);
          reject(signal?.reason as Error);
        };
        const timer = setTimeout(() => {
          signal?.removeEventListener('abort', onAbort);
          resolve();
        }, delayMs);
        signal?.addEventListener('abort', onAbort, { once: true });
      }),
  };
}
