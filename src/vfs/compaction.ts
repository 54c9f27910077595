import { concatBytes, fromHex } from '../base/bytes.ts';
import { asFsError } from '../base/errno.ts';
import type { Ino } from '../base/ids.ts';
import {
  VFS_COMPACTION_COUNTERS_MAX,
  VFS_COMPACTION_TRIES_MAX,
  VFS_COMPACTIONS_MAX,
  VFS_INLINE_EXTENTS_MAX,
} from '../base/limits.ts';
import type { Chunk, Extent } from '../gen/ringfs/v1/namespace.ts';
import { PreconditionFailed } from '../ports/meta-service.ts';
import type { Batch } from './batch.ts';
import type { VfsCore } from './core.ts';
import type { Piece } from './dirty-buffer.ts';
import { fetchExtents } from './fetch.ts';
import type { InodeState } from './inode-state.ts';
import { chunkOf, clipExtent, mapExtent } from './layout.ts';
import { blockExtent, inlineExtent, writeExtents } from './ops/op.ts';

interface Window {
  readonly ino: Ino;
  readonly index: number;
  tries: number;
}

/**
 * Rewrites windows of a file that small writes have cut into too many extents, one at a time. The commit holds only if the chunk
 * is still as it was read, so nothing that is written meanwhile can be lost.
 */
export class Compactor {
  readonly #core: VfsCore;
  /** Extents written per window since it was last looked at; outlives the handles. */
  readonly #fragments = new Map<string, number>();
  readonly #queue = new Map<string, Window>();
  readonly #failures = new Map<string, number>();
  #worker: Promise<void> | undefined;
  #closed = false;
  compacted = 0;

  constructor(core: VfsCore) {
    this.#core = core;
  }

  /** Counts what has just been committed. */
  wrote(state: InodeState, group: readonly Batch[]): void {
    const { blockSizeBytes, extentsPerWindowMax, inlineFileBytesMax } = this.#core.options;
    const small = state.attr.size <= inlineFileBytesMax;
    const max = small ? VFS_INLINE_EXTENTS_MAX : extentsPerWindowMax;
    for (const batch of group) {
      const base = batch.kind === 'append' ? Math.max(0, state.attr.size - batch.bytes) : 0;
      for (const run of batch.buffer.runs()) {
        const index = Math.floor((base + run.offset) / blockSizeBytes);
        const key = `${state.ino}:${index}`;
        const count = run.length === blockSizeBytes ? 0 : (this.#fragments.get(key) ?? 0) + 1;
        this.#fragments.delete(key);
        if (count > max) this.#request(key, { ino: state.ino, index, tries: this.#failures.get(key) ?? 0 });
        else if (count > 0) this.#fragments.set(key, count);
      }
    }
    while (this.#fragments.size > VFS_COMPACTION_COUNTERS_MAX) {
      const oldest = this.#fragments.keys().next().value;
      if (oldest === undefined) break;
      this.#fragments.delete(oldest);
    }
  }

  /** Rewrites every fragmented window of the chunks that these batches go to. The caller holds the inode's commit lock. */
  async compactChunks(state: InodeState, group: readonly Batch[]): Promise<void> {
    const chunks = new Set<number>();
    for (const { kind, buffer } of group) {
      if (kind === 'append') chunks.add(chunkOf(state.attr.size)).add(chunkOf(state.attr.size + buffer.end));
      else for (const run of buffer.runs()) chunks.add(chunkOf(run.offset));
    }
    const { blockSizeBytes, extentsPerWindowMax } = this.#core.options;
    const max = Math.floor(extentsPerWindowMax / 4);
    for (const index of chunks) {
      const { chunks: rows } = await this.#core.meta.getChunks(state.ino, index, 1);
      const counts = new Map<number, number>();
      for (const { offset } of rows[0]?.extents ?? []) {
        const window = Math.floor(offset / blockSizeBytes);
        counts.set(window, (counts.get(window) ?? 0) + 1);
      }
      for (const [window, count] of counts) {
        if (count > max) await this.#compactInsistently({ ino: state.ino, index: window, tries: 0 }, max);
      }
    }
  }

  /** Other mounts may change the chunk in between. */
  async #compactInsistently(window: Window, max: number): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#compact(window, max);
        return;
      } catch (thrown) {
        if (!(thrown instanceof PreconditionFailed) || attempt >= VFS_COMPACTION_TRIES_MAX) throw thrown;
      }
    }
  }

  #request(key: string, window: Window): void {
    if (this.#closed || this.#queue.size >= VFS_COMPACTIONS_MAX || this.#queue.has(key)) return;
    this.#queue.set(key, window);
    this.#worker ??= this.#work().finally(() => {
      this.#worker = undefined;
    });
  }

  /** Resolves when nothing is left to do. */
  async idle(): Promise<void> {
    while (this.#worker) await this.#worker;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#queue.clear();
    await this.idle();
  }

  async #work(): Promise<void> {
    for (;;) {
      const next = this.#queue.entries().next().value;
      if (!next) return;
      const [key, window] = next;
      this.#queue.delete(key);
      try {
        const state = this.#core.inodes.get(window.ino);
        const compact = () => this.#compact(window);
        if (state && window.tries >= VFS_COMPACTION_TRIES_MAX) await state.commitLock.run(compact);
        else await compact();
        this.#failures.delete(key);
      } catch (thrown) {
        this.#gaveUp(key, window, thrown);
      }
    }
  }

  #gaveUp(key: string, window: Window, thrown: unknown): void {
    if (this.#failures.size > VFS_COMPACTION_COUNTERS_MAX) this.#failures.clear();
    this.#failures.set(key, window.tries + 1);
    if (thrown instanceof PreconditionFailed) return;
    const error = asFsError(thrown);
    if (error.code === 'ESTALE') return;
    this.#core.logger.warn({ ino: window.ino, errno: error.code, err: error }, 'compaction failed');
  }

  async #compact({ ino, index }: Window, extentsMax?: number): Promise<void> {
    const { blockSizeBytes, inlineFileBytesMax, extentsPerWindowMax } = this.#core.options;
    const from = index * blockSizeBytes;
    const to = from + blockSizeBytes;
    const { chunks, attr } = await this.#core.meta.getChunks(ino, chunkOf(from), 1);
    const chunk = chunks[0];
    if (!chunk) return;
    const small = attr.size <= inlineFileBytesMax;
    const max = extentsMax ?? (small ? VFS_INLINE_EXTENTS_MAX : extentsPerWindowMax);
    const extents = chunk.extents
      .filter((e) => e.offset < to && e.offset + e.length > from)
      .map((e) => clipExtent(mapExtent(e), from, to));
    if (extents.length <= max) return;
    const spans = joinPieces(await fetchExtents(this.#core, extents), max);
    const uploadedAt = this.#core.meta.seenIndex();
    await this.#rewrite(ino, chunk, small ? inlineSpans(spans) : await this.#blockSpans(spans), uploadedAt);
    this.compacted++;
  }

  async #blockSpans(spans: readonly Piece[]): Promise<Extent[]> {
    const block = spans.length === 1 ? spans[0]!.data : concatBytes(spans.map((span) => span.data));
    const id = fromHex(await this.#core.blocks.put(block));
    let at = 0;
    return spans.map(({ offset, data }) => {
      const extent = blockExtent(offset, data.length, id, at, block.length);
      at += data.length;
      return extent;
    });
  }

  async #rewrite(ino: Ino, chunk: Chunk, extents: Extent[], uploadedAt: number): Promise<void> {
    const op = writeExtents({ ino, extents, clearSuidSgid: false, keepSize: true, keepTimes: true });
    const { index, version } = chunk;
    await this.#core.commit([op], {
      uploadedAt,
      preconditions: [{ body: { $case: 'chunk', value: { ino, index, version } } }],
      applied: (ok) => {
        const state = this.#core.inodes.get(ino);
        const touched = ok.touched.find(({ attr }) => attr?.ino === ino);
        if (!state?.layout || !touched?.attr) return;
        if (state.layout.dataVersion !== touched.previousDataVersion) {
          state.layout = undefined;
          return;
        }
        state.layout.write(extents.map(mapExtent));
        state.layout.dataVersion = touched.attr.dataVersion;
      },
    });
  }
}

const inlineSpans = (spans: readonly Piece[]): Extent[] =>
  spans.map(({ offset, data }) => inlineExtent(offset, data));

/** Contiguous spans. Holes stay holes, unless there are so many that the result would be as bad. */
function joinPieces(pieces: readonly Piece[], max: number): Piece[] {
  const spans: Piece[][] = [];
  for (const piece of pieces) {
    const last = spans.at(-1)?.at(-1);
    if (last && last.offset + last.data.length === piece.offset) spans.at(-1)!.push(piece);
    else spans.push([piece]);
  }
  if (spans.length <= max / 2) {
    return spans.map((span) => ({ offset: span[0]!.offset, data: concatBytes(span.map((p) => p.data)) }));
  }
  const start = pieces[0]!.offset;
  const last = pieces.at(-1)!;
  const data = new Uint8Array(last.offset + last.data.length - start);
  for (const piece of pieces) data.set(piece.data, piece.offset - start);
  return [{ offset: start, data }];
}
