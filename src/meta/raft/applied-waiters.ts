interface Waiter {
  readonly index: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** Those who wait until an index has been applied. */
export class AppliedWaiters {
  #waiters: Waiter[] = [];

  get size(): number {
    return this.#waiters.length;
  }

  wait(index: number): Promise<void> {
    return new Promise((resolve, reject) => this.#waiters.push({ index, resolve, reject }));
  }

  advance(applied: number): void {
    if (this.#waiters.length === 0) return;
    const ready = this.#waiters.filter((w) => w.index <= applied);
    if (ready.length === 0) return;
    this.#waiters = this.#waiters.filter((w) => w.index > applied);
    for (const waiter of ready) waiter.resolve();
  }

  rejectAll(error: Error): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter.reject(error);
  }
}
