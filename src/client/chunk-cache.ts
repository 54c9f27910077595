import { CACHED_EXTENTS_MAX } from '../base/limits.ts';
import type { Chunk } from '../gen/ringfs/v1/namespace.ts';
import { LruMap } from './lru.ts';

/** The layout of one file as of `dataVersion`. */
interface Layout {
  readonly dataVersion: number;
  /** Null: no row for this chunk. */
  readonly chunks: Map<number, Chunk | null>;
  /** What is not in `chunks` does not exist. */
  complete: boolean;
}

const weigh = (layout: Layout): number => {
  let weight = 4;
  for (const chunk of layout.chunks.values()) weight += 1 + (chunk?.extents.length ?? 0);
  return weight;
};

/** Layouts of files, each as of one data version. */
export class ChunkCache {
  readonly #layouts: LruMap<number, Layout>;

  constructor(capacity = CACHED_EXTENTS_MAX) {
    this.#layouts = new LruMap(capacity, weigh);
  }

  get weight(): number {
    return this.#layouts.weight;
  }

  version(ino: number): number | undefined {
    return this.#layouts.peek(ino)?.dataVersion;
  }

  /** The rows that exist in [first, first + count), if that is known. */
  get(ino: number, first: number, count: number): Chunk[] | undefined {
    const layout = this.#layouts.get(ino);
    if (layout === undefined) return undefined;
    const out: Chunk[] = [];
    for (let index = first; index < first + count; index++) {
      const chunk = layout.chunks.get(index);
      if (chunk === undefined && !layout.complete) return undefined;
      if (chunk) out.push(chunk);
    }
    return out;
  }

  put(ino: number, dataVersion: number, first: number, count: number, chunks: readonly Chunk[]): void {
    let layout = this.#layouts.get(ino);
    if (layout !== undefined && layout.dataVersion > dataVersion) return;
    if (layout === undefined || layout.dataVersion < dataVersion) {
      layout = { dataVersion, chunks: new Map(), complete: false };
    }
    for (let index = first; index < first + count; index++) layout.chunks.set(index, null);
    for (const chunk of chunks) layout.chunks.set(chunk.index, chunk);
    this.#layouts.set(ino, layout);
  }

  /** All chunks of a file, as a commit of ours left them. */
  putWhole(ino: number, dataVersion: number, chunks: readonly Chunk[]): void {
    const before = this.#layouts.peek(ino);
    if (before !== undefined && before.dataVersion >= dataVersion) return;
    const map = new Map<number, Chunk | null>(chunks.map((c) => [c.index, c]));
    this.#layouts.set(ino, { dataVersion, chunks: map, complete: true });
  }

  /** True when the file is known to have no chunk at all as of `dataVersion`. */
  knownEmpty(ino: number, dataVersion: number): boolean {
    const layout = this.#layouts.peek(ino);
    return layout?.dataVersion === dataVersion && layout.complete && layout.chunks.size === 0;
  }

  /** A commit changed the content in a way that was not followed. */
  outdated(ino: number, dataVersion: number): void {
    const layout = this.#layouts.peek(ino);
    if (layout !== undefined && layout.dataVersion < dataVersion) this.#layouts.delete(ino);
  }

  drop(ino: number): void {
    this.#layouts.delete(ino);
  }

  clear(): void {
    this.#layouts.clear();
  }
}
