import { FsError } from '../base/errno.ts';
import type { Timers } from '../ports/clock.ts';

/** Until when an operation may wait, and the signal that ends it before. */
export class Deadline {
  readonly atMs: number;
  readonly signal: AbortSignal | undefined;
  readonly #timers: Timers;
  readonly #what: string;

  constructor(timers: Timers, timeoutMs: number, what: string, signal?: AbortSignal) {
    this.#timers = timers;
    this.atMs = timers.nowMs() + timeoutMs;
    this.#what = what;
    this.signal = signal;
  }

  get remainingMs(): number {
    return Math.max(0, this.atMs - this.#timers.nowMs());
  }

  /** Throws FsError EINTR when aborted, ETIMEDOUT when the time is over. */
  check(cause?: unknown): void {
    if (this.signal?.aborted) throw this.interrupted();
    if (this.#timers.nowMs() >= this.atMs) throw this.timedOut(cause);
  }

  interrupted(): FsError {
    return new FsError('EINTR', `${this.#what} was interrupted`);
  }

  timedOut(cause?: unknown): FsError {
    return new FsError('ETIMEDOUT', `${this.#what} got no answer in time`, { cause });
  }

  /** Waits `ms`, or less when the deadline comes first. Throws EINTR, ETIMEDOUT. */
  async sleep(ms: number, cause?: unknown): Promise<void> {
    try {
      await this.#timers.sleep(Math.min(ms, this.remainingMs), this.signal);
    } catch {
      throw this.interrupted();
    }
    this.check(cause);
  }

  /** `promise`, or EINTR or ETIMEDOUT when they come first. What `promise` does later is nobody's concern then. */
  race<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const finish = (): void => {
        timer.cancel();
        this.signal?.removeEventListener('abort', onAbort);
      };
      const onAbort = (): void => {
        finish();
        reject(this.interrupted());
      };
      const timer = this.#timers.after(this.remainingMs, () => {
        finish();
        reject(this.timedOut());
      });
      this.signal?.addEventListener('abort', onAbort, { once: true });
      promise.then(
        (value) => {
          finish();
          resolve(value);
        },
        (error: unknown) => {
          finish();
          reject(error instanceof Error ? error : new Error(String(error)));
        },
      );
      if (this.signal?.aborted) onAbort();
    });
  }
}
