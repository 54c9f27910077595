/** Bytes of written data that wait for a flush, over all files of the mount. */
export class DirtyBudget {
  readonly #limitBytes: number;
  #used = 0;
  #released = 0;
  #waiting: (() => void)[] = [];

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  get usedBytes(): number {
    return this.#used;
  }

  /** Counts releases, so that a waiter can tell whether there was progress. */
  get released(): number {
    return this.#released;
  }

  get contended(): boolean {
    return this.#waiting.length > 0;
  }

  /** One write larger than the limit goes through when nothing else is dirty. */
  tryReserve(bytes: number): boolean {
    if (this.#used > 0 && this.#used + bytes > this.#limitBytes) return false;
    this.#used += bytes;
    return true;
  }

  release(bytes: number): void {
    if (bytes === 0) return;
    this.#used -= bytes;
    this.#released++;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  /** Resolves at the next release. */
  nextRelease(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}
