import { asFsError, FsError } from '../base/errno.ts';
import { CHUNKS_PER_REPLY_MAX, VFS_APPEND_ATTEMPTS_MAX } from '../base/limits.ts';
import type { Op } from '../gen/ringfs/v1/namespace.ts';
import { PreconditionFailed } from '../ports/meta-service.ts';
import type { Batch } from './batch.ts';
import { batchExtents, batchOp, findAppended, mappedExtents } from './batch-ops.ts';
import type { Committed, VfsCore } from './core.ts';
import type { InodeState } from './inode-state.ts';
import { chunkOf } from './layout.ts';

export interface BatchCommit {
  readonly group: readonly Batch[];
  readonly extra?: readonly Op[] | undefined;
  /** Dropped when the commit succeeds. */
  readonly doomed?: ReadonlySet<Batch> | undefined;
  /** `extra` sets the size to this. */
  readonly truncateTo?: number | undefined;
  /** `extra` changes the layout in a way that is not followed here. */
  readonly reshapes?: boolean | undefined;
  /** Only if the inode still has this version. */
  readonly ifVersion?: number | undefined;
}

/** One commit for stored batches, in order, and what goes with them. The caller holds the inode's commit lock. */
export async function commitBatches(
  core: VfsCore,
  state: InodeState,
  commit: BatchCommit,
): Promise<Committed> {
  const { group, extra = [] } = commit;
  const ops = [...group.map((batch) => batchOp(batch, state.ino)), ...extra];
  const appends = group.filter((batch) => batch.kind === 'append');
  const sizeBefore = state.attr.size;
  let settle = (): void => undefined;
  if (appends.length > 0) {
    const settled = new Promise<void>((resolve) => {
      settle = resolve;
    });
    state.appending = { dataVersion: state.attr.dataVersion, settled };
  }
  try {
    return await core.commit(ops, {
      sameSession: state.exclusiveLocks > 0,
      ...uploadedAt(group),
      ...(commit.ifVersion === undefined
        ? {}
        : {
            preconditions: [
              { body: { $case: 'inode', value: { ino: state.ino, version: commit.ifVersion } } },
            ],
          }),
      applied: (ok) => {
        state.appending = undefined;
        applied(core, state, commit, ok);
      },
    });
  } catch (thrown) {
    if (thrown instanceof PreconditionFailed) throw thrown;
    const error = asFsError(thrown);
    // Without an answer an append must not simply be sent again: it could happen twice.
    if (error.code === 'ETIMEDOUT' || error.code === 'EIO') {
      for (const batch of appends) batch.uncertainFrom ??= sizeBefore;
    }
    throw error;
  } finally {
    state.appending = undefined;
    settle();
  }
}

function uploadedAt(group: readonly Batch[]): { uploadedAt?: number } {
  const all = group.flatMap(({ storage }) => (storage.state === 'blocks' ? [storage.uploadedAt] : []));
  return all.length === 0 ? {} : { uploadedAt: Math.min(...all) };
}

/** In the turn in which the answer arrives the overlay gives way to the layout: a read sees one or the other. */
function applied(core: VfsCore, state: InodeState, commit: BatchCommit, ok: Committed): void {
  const { group, doomed = new Set<Batch>(), truncateTo, reshapes = false } = commit;
  const touched = ok.touched.find(({ attr }) => attr?.ino === state.ino);
  const layout =
    touched && !reshapes && state.layout?.dataVersion === touched.previousDataVersion
      ? state.layout
      : undefined;
  let size = state.attr.size;
  let moved = false;
  group.forEach((batch, i) => {
    const append = batch.kind === 'append';
    const base = append ? (ok.results[i]?.offset ?? size) : 0;
    moved ||= append && base !== size;
    size = append ? base + batch.bytes : Math.max(size, batch.buffer.end);
    layout?.write(mappedExtents(batch, base));
  });
  if (layout && truncateTo !== undefined) layout.truncate(truncateTo);
  if (layout && touched?.attr) layout.dataVersion = touched.attr.dataVersion;
  else state.layout = undefined;
  core.budget.release(state.removeBatches(new Set([...group, ...doomed])));
  if (moved) core.kernel.dropPages(state.ino);
}

/** An append whose commit got no answer: looks whether it is there, and sends it again only if the file is as it was seen. */
export async function commitAppendAgain(core: VfsCore, state: InodeState, batch: Batch): Promise<void> {
  for (let attempt = 0; attempt < VFS_APPEND_ATTEMPTS_MAX; attempt++) {
    const from = batch.uncertainFrom ?? 0;
    const first = chunkOf(from);
    const { chunks, attr } = await core.meta.getChunks(state.ino, first, CHUNKS_PER_REPLY_MAX);
    const tail = chunks.flatMap((chunk) => chunk.extents).filter((e) => e.offset + e.length > from);
    if (findAppended(batch, tail) !== undefined) {
      core.budget.release(state.removeBatches(new Set([batch])));
      state.layout = undefined;
      state.adopt(attr);
      core.kernel.dropPages(state.ino);
      return;
    }
    try {
      state.adopt(attr);
      await commitBatches(core, state, { group: [batch], ifVersion: attr.version });
      return;
    } catch (thrown) {
      if (!(thrown instanceof PreconditionFailed)) throw thrown;
    }
  }
  throw new FsError('ETIMEDOUT', `append of ${batchExtents(batch).length} extents found no quiet moment`);
}
