/** Collects what happened, and lets a test wait until it has happened often enough. */
export class Events<T = void> {
  readonly seen: T[] = [];
  #waiting: { readonly count: number; readonly resolve: () => void }[] = [];

  readonly add = (event: T): void => {
    this.seen.push(event);
    const due = this.#waiting.filter((waiter) => waiter.count <= this.seen.length);
    this.#waiting = this.#waiting.filter((waiter) => !due.includes(waiter));
    for (const waiter of due) waiter.resolve();
  };

  async atLeast(count: number): Promise<readonly T[]> {
    if (this.seen.length < count)
      await new Promise<void>((resolve) => this.#waiting.push({ count, resolve }));
    return this.seen;
  }
}
