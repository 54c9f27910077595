import {
  REPAIR_BYTES_PER_SECOND_BUSY,
  REPAIR_BYTES_PER_SECOND_MAX,
  REPAIR_GIVES_WAY_MS,
} from '../base/limits.ts';
import type { Timers } from '../ports/clock.ts';

/** Bounds the rate at which repair sends blocks, more tightly while clients are being served. */
export class Pace {
  readonly #timers: Timers;
  #clientAtMs = Number.NEGATIVE_INFINITY;
  /** When the next bytes may go. */
  #freeAtMs = Number.NEGATIVE_INFINITY;

  constructor(components: { readonly timers: Timers }) {
    this.#timers = components.timers;
  }

  /** A client has put or read something here. */
  clientServed(): void {
    this.#clientAtMs = this.#timers.nowMs();
  }

  /** Clients are being served. */
  get busy(): boolean {
    return this.#timers.nowMs() - this.#clientAtMs < REPAIR_GIVES_WAY_MS;
  }

  get bytesPerSecond(): number {
    return this.busy ? REPAIR_BYTES_PER_SECOND_BUSY : REPAIR_BYTES_PER_SECOND_MAX;
  }

  /** Resolves when `bytes` may be sent. First come first served. Rejects when `signal` is aborted. */
  async take(bytes: number, signal: AbortSignal): Promise<void> {
    const now = this.#timers.nowMs();
    const start = Math.max(now, this.#freeAtMs);
    this.#freeAtMs = start + (bytes * 1000) / this.bytesPerSecond;
    if (start > now) await this.#timers.sleep(start - now, signal);
  }
}
