import { assert } from '../base/assert.ts';
import type { BlockId } from '../base/ids.ts';

interface Drop {
  /** Somebody has been told of the copy since, or has put it. */
  givenUp: boolean;
  /** The delete, once it is under way. Never rejects. */
  deletion: Promise<void> | undefined;
}

/**
 * Keeps apart the drops of surplus copies and all that relies on a copy. A drop begins, asks around for a while, and deletes. What
 * somebody is told or has stored before it begins is what it asks others for; what comes while it asks ends it; what comes
 * while it deletes waits, and finds the copy gone.
 */
export class DropGuard {
  readonly #drops = new Map<BlockId, Drop>();
  readonly #uses = new Set<Promise<unknown>>();

  /** A drop of this copy has begun and not ended. */
  has(id: BlockId): boolean {
    return this.#drops.has(id);
  }

  /** Runs `action`, after which somebody may rely on the copies. */
  async use<T>(ids: readonly BlockId[], action: () => Promise<T>): Promise<T> {
    while (this.#drops.size > 0) {
      const deletions = ids.flatMap((id) => this.#drops.get(id)?.deletion ?? []);
      if (deletions.length === 0) break;
      await Promise.all(deletions);
    }
    if (this.#drops.size > 0) {
      for (const id of ids) {
        const drop = this.#drops.get(id);
        if (drop !== undefined) drop.givenUp = true;
      }
    }
    const running = action();
    this.#uses.add(running);
    try {
      return await running;
    } finally {
      this.#uses.delete(running);
    }
  }

  /** Drops of these begin now. Resolves when everything has ended that had begun before. */
  async begin(ids: readonly BlockId[]): Promise<void> {
    for (const id of ids) {
      assert(!this.#drops.has(id), 'a copy is dropped once at a time');
      this.#drops.set(id, { givenUp: false, deletion: undefined });
    }
    await Promise.allSettled([...this.#uses]);
  }

  /** Calls `remove`, which deletes the copy, in this very turn, unless the drop has been given up. Resolves with whether it did. */
  async finish(id: BlockId, remove: () => Promise<boolean>): Promise<boolean> {
    const drop = this.#drops.get(id);
    assert(drop !== undefined && drop.deletion === undefined, 'a drop begins before it ends');
    if (drop.givenUp) return false;
    const removal = remove();
    const ended = (): void => {
      this.#drops.delete(id);
    };
    drop.deletion = removal.then(ended, ended);
    return await removal;
  }

  /** What has not been deleted stays. */
  end(ids: readonly BlockId[]): void {
    for (const id of ids) if (this.#drops.get(id)?.deletion === undefined) this.#drops.delete(id);
  }
}
