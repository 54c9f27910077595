import { type Ino, ROOT_INO } from '../base/ids.ts';
import { VFS_CACHED_INODES_MAX } from '../base/limits.ts';
import type { CommitOk } from '../gen/ringfs/v1/namespace.ts';
import type { CacheInvalidation } from '../ports/file-system.ts';
import type { InodeChange } from '../ports/meta-service.ts';

/**
 * What the kernel may have cached: which inodes it knows (lookups not yet forgotten, and the root, which is never looked up)
 * and which version of a file's content its pages come from. Decides what open(2) may keep and what must be invalidated.
 */
export class KernelCache {
  readonly #lookups = new Map<number, number>();
  /** In order of use, oldest first. An inode that is not here has no pages worth keeping at an open(2); it may have some. */
  readonly #pages = new Map<number, number>();
  #listener: ((invalidations: readonly CacheInvalidation[]) => void) | undefined;
  #told: (() => Promise<void>) | undefined;

  get knownInodes(): number {
    return this.#lookups.size;
  }

  onInvalidate(
    listener: (invalidations: readonly CacheInvalidation[]) => void,
    told?: () => Promise<void>,
  ): void {
    this.#listener = listener;
    this.#told = told;
  }

  /** Resolves when the kernel has forgotten all that it was to forget by now. */
  async told(): Promise<void> {
    await this.#told?.();
  }

  lookedUp(ino: number): void {
    this.#lookups.set(ino, (this.#lookups.get(ino) ?? 0) + 1);
  }

  forget(ino: number, count: number): void {
    const left = (this.#lookups.get(ino) ?? 0) - count;
    if (left > 0) this.#lookups.set(ino, left);
    else this.#lookups.delete(ino);
  }

  /** The file is being opened at `dataVersion`. Returns whether the pages in the kernel are of that version. */
  opened(ino: number, dataVersion: number): boolean {
    const keep = this.#pages.get(ino) === dataVersion;
    this.#pages.delete(ino);
    this.#pages.set(ino, dataVersion);
    if (this.#pages.size > VFS_CACHED_INODES_MAX) {
      const oldest = this.#pages.keys().next().value;
      if (oldest !== undefined) this.#pages.delete(oldest);
    }
    return keep;
  }

  /** An own commit: the kernel made the same change to its pages, if nobody else's came in between. */
  committed(ok: CommitOk): void {
    for (const { attr, previousDataVersion } of ok.touched) {
      if (!attr || !this.#pages.has(attr.ino)) continue;
      if (attr.nlink > 0 && this.#pages.get(attr.ino) === previousDataVersion) {
        this.#pages.set(attr.ino, attr.dataVersion);
      } else {
        this.#pages.delete(attr.ino);
      }
    }
  }

  /** Another client changed something. */
  changed(changes: readonly InodeChange[]): void {
    const invalidations: CacheInvalidation[] = [];
    for (const { ino, dataChanged } of changes) {
      if (dataChanged) this.#pages.delete(ino);
      if (this.#lookups.has(ino) || ino === ROOT_INO) invalidations.push({ ino, data: dataChanged });
    }
    if (invalidations.length > 0) this.#listener?.(invalidations);
  }

  /**
   * Anything may have changed. Whoever has had a file open since before the last time has read pages of it again that `#pages` does not
   * know of, so all files' are dropped.
   */
  changedAll(): void {
    const invalidations: CacheInvalidation[] = [{ ino: ROOT_INO, data: false }];
    for (const ino of this.#lookups.keys()) invalidations.push({ ino: ino as Ino, data: true });
    this.#pages.clear();
    this.#listener?.(invalidations);
  }

  /** The kernel's pages of this file differ from what is stored. */
  dropPages(ino: Ino): void {
    this.#pages.delete(ino);
    this.#listener?.([{ ino, data: true }]);
  }
}
