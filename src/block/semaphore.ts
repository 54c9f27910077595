import { assert } from '../base/assert.ts';

interface Waiter {
  readonly units: number;
  readonly resolve: () => void;
}

/** Gives out up to `limit` units, first come first served. What is larger than the limit takes all of it. */
export class Semaphore {
  readonly #limit: number;
  readonly #waitersMax: number;
  readonly #waiters: Waiter[] = [];
  #used = 0;

  constructor(limit: number, waitersMax: number) {
    assert(limit > 0, 'a semaphore has units');
    this.#limit = limit;
    this.#waitersMax = waitersMax;
  }

  /** False when too many wait already; else `release` the same units later. */
  async acquire(units: number): Promise<boolean> {
    const wanted = Math.min(units, this.#limit);
    if (this.#waiters.length === 0 && this.#used + wanted <= this.#limit) {
      this.#used += wanted;
      return true;
    }
    if (this.#waiters.length >= this.#waitersMax) return false;
    await new Promise<void>((resolve) => this.#waiters.push({ units: wanted, resolve }));
    return true;
  }

  release(units: number): void {
    this.#used -= Math.min(units, this.#limit);
    assert(this.#used >= 0, 'released no more than was acquired');
    for (let next = this.#waiters[0]; next !== undefined; next = this.#waiters[0]) {
      if (this.#used + next.units > this.#limit) return;
      this.#used += next.units;
      this.#waiters.shift();
      next.resolve();
    }
  }
}
