import type { Random } from '../base/random.ts';

export interface BackoffOptions {
  readonly minMs: number;
  readonly maxMs: number;
}

/** Waits that double from `minMs` to `maxMs`, each shortened by up to a half at random so that clients spread out. */
export class Backoff {
  readonly #random: Random;
  readonly #options: BackoffOptions;
  #tries = 0;

  constructor(random: Random, options: BackoffOptions) {
    this.#random = random;
    this.#options = options;
  }

  nextMs(maxMs = this.#options.maxMs): number {
    const limit = Math.min(this.#options.maxMs, maxMs);
    const ceiling = Math.min(limit, this.#options.minMs * 2 ** Math.min(this.#tries, 30));
    this.#tries++;
    return Math.max(this.#options.minMs / 2, ceiling * (0.5 + this.#random.next() / 2));
  }

  reset(): void {
    this.#tries = 0;
  }
}
