import { asFsError, FsError } from '../base/errno.ts';
import { VFS_READ_ATTEMPTS_MAX } from '../base/limits.ts';
import type { VfsCore } from './core.ts';
import type { Piece } from './dirty-buffer.ts';
import { fetchExtents, loadLayout } from './fetch.ts';
import type { OpenFile } from './handle-table.ts';
import { chunkOf, type MappedExtent } from './layout.ts';
import type { Range } from './overlay.ts';

const ZEROS = new Uint8Array(128 * 1024);
const NOTHING: readonly Uint8Array[] = [];

interface ReadPlan {
  readonly from: number;
  readonly to: number;
  /** Unflushed bytes. */
  readonly pieces: readonly Piece[];
  /** Committed bytes. What neither has is a hole. */
  readonly extents: readonly MappedExtent[];
  readonly dataVersion: number;
}

/** read(2): unflushed writes over committed extents over zeros, as views. Never waits for a flush. */
export async function readFile(
  core: VfsCore,
  file: OpenFile,
  offset: number,
  length: number,
  signal?: AbortSignal,
): Promise<readonly Uint8Array[]> {
  const ahead = file.readAhead.observe(offset, length);
  for (let attempt = 1; ; attempt++) {
    const plan = await planRead(core, file, offset, length, ahead, signal);
    if (plan.from >= plan.to) return NOTHING;
    try {
      return assemble(plan, await fetchExtents(core, plan.extents, signal));
    } catch (thrown) {
      // The blocks of a file that was rewritten meanwhile may be gone.
      const error = asFsError(thrown);
      if (error.code !== 'EIO' || attempt >= VFS_READ_ATTEMPTS_MAX) throw error;
      const attr = await core.freshAttr(file.state, signal);
      if (attr.dataVersion === plan.dataVersion) throw error;
    }
  }
}

async function planRead(
  core: VfsCore,
  file: OpenFile,
  offset: number,
  length: number,
  ahead: Range | undefined,
  signal: AbortSignal | undefined,
): Promise<ReadPlan> {
  const { state } = file;
  await core.freshAttr(state, signal);
  for (let attempt = 0; attempt < VFS_READ_ATTEMPTS_MAX; attempt++) {
    // From here to the return nothing is awaited: size, overlay and extents are of one moment.
    const to = Math.min(offset + length, state.size());
    const { dataVersion, size } = state.attr;
    if (offset >= to) return { from: offset, to: offset, pieces: [], extents: [], dataVersion };
    const { pieces, gaps } = state.overlay(offset, to);
    const committed = gaps
      .filter((gap) => gap.from < size)
      .map((gap) => ({ from: gap.from, to: Math.min(gap.to, size) }));
    if (committed.length === 0) return { from: offset, to, pieces, extents: [], dataVersion };
    // With a sequential reader also the rows that its read-ahead is about to need: they are few, and without them it ends at a chunk.
    const needed = Math.max(committed.at(-1)!.to, Math.min(ahead?.to ?? 0, size));
    const layout = state.layout?.dataVersion === dataVersion ? state.layout : undefined;
    if (layout && layout.firstMissing(chunkOf(offset), chunkOf(needed - 1)) === undefined) {
      if (ahead) prefetch(core, file, ahead);
      const extents = committed.flatMap((gap) => layout.find(gap.from, gap.to));
      return { from: offset, to, pieces, extents, dataVersion };
    }
    await loadLayout(core, state, offset, needed, signal);
  }
  throw new FsError('EIO', 'the file changes faster than it can be read');
}

function prefetch(core: VfsCore, file: OpenFile, ahead: Range): void {
  const { layout, attr } = file.state;
  const to = Math.min(ahead.to, attr.size);
  if (!layout || ahead.from >= to) return;
  let last: string | undefined;
  for (const { block } of layout.find(ahead.from, to)) {
    if (block && block !== last) core.blocks.prefetch(block);
    last = block;
  }
}

function assemble(plan: ReadPlan, committed: readonly Piece[]): Uint8Array[] {
  const all = [...plan.pieces, ...committed].sort((a, b) => a.offset - b.offset);
  const out: Uint8Array[] = [];
  let at = plan.from;
  for (const { offset, data } of all) {
    pushZeros(out, offset - at);
    out.push(data);
    at = offset + data.length;
  }
  pushZeros(out, plan.to - at);
  return out;
}

function pushZeros(out: Uint8Array[], length: number): void {
  for (let left = length; left > 0; left -= ZEROS.length) {
    out.push(left >= ZEROS.length ? ZEROS : ZEROS.subarray(0, left));
  }
}
