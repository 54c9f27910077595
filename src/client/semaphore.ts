import type { Deadline } from './deadline.ts';

interface Waiter {
  readonly units: number;
  grant(): void;
}

/** Counts units of something scarce. First come, first served. */
export class Semaphore {
  readonly #capacity: number;
  readonly #waiters = new Set<Waiter>();
  #used = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get used(): number {
    return this.#used;
  }

  get waiting(): number {
    return this.#waiters.size;
  }

  /** Takes the units if they are free and nobody waits. More than the capacity counts as all of it. */
  tryAcquire(units: number): boolean {
    const wanted = Math.min(units, this.#capacity);
    if (this.#waiters.size > 0 || this.#used + wanted > this.#capacity) return false;
    this.#used += wanted;
    return true;
  }

  /** Throws EINTR, ETIMEDOUT of the deadline; nothing is taken then. */
  async acquire(units: number, deadline: Deadline): Promise<void> {
    if (this.tryAcquire(units)) return;
    let waiter: Waiter | undefined;
    let granted = false;
    const turn = new Promise<void>((resolve) => {
      waiter = {
        units: Math.min(units, this.#capacity),
        grant: () => {
          granted = true;
          resolve();
        },
      };
      this.#waiters.add(waiter);
    });
    try {
      await deadline.race(turn);
    } catch (error) {
      if (waiter !== undefined) this.#waiters.delete(waiter);
      if (granted) this.release(units);
      else this.#grant();
      throw error;
    }
  }

  release(units: number): void {
    this.#used -= Math.min(units, this.#capacity);
    this.#grant();
  }

  #grant(): void {
    for (const waiter of this.#waiters) {
      if (this.#used + waiter.units > this.#capacity) return;
      this.#waiters.delete(waiter);
      this.#used += waiter.units;
      waiter.grant();
    }
  }
}
