import { unreachable } from '../../base/assert.ts';
import { FsError } from '../../base/errno.ts';
import { OPS_PER_COMMIT_MAX } from '../../base/limits.ts';
import type { Commit, CommitResult, Op, OpResult } from '../../gen/ringfs/v1/namespace.ts';
import { BLOCK_ID_BYTES, missingBlocks, staleUploads } from './blocks.ts';
import { CommitContext, fail } from './context.ts';
import { copyRange } from './ops/copy-range.ts';
import { fallocate } from './ops/fallocate.ts';
import { link } from './ops/link.ts';
import { cancelLock, setLock } from './ops/lock.ts';
import { makeNode } from './ops/make-node.ts';
import { removeDir } from './ops/remove-dir.ts';
import { rename } from './ops/rename.ts';
import { setAttr } from './ops/set-attr.ts';
import { unlink } from './ops/unlink.ts';
import { appendExtents, writeExtents } from './ops/write-extents.ts';
import { removeXattr, setXattr } from './ops/xattr.ts';
import { rejectedResult } from './outcome.ts';
import { failedPreconditions } from './preconditions.ts';
import { earlierAnswer, recordAnswer } from './sessions.ts';
import { checkTime } from './times.ts';
import type { ApplyOutcome, LockGrant, Rows } from './types.ts';

/** Applies a commit once: all of its ops or none. */
export function applyCommit(rows: Rows, index: number, commit: Commit): ApplyOutcome {
  const { session } = commit;
  const earlier = earlierAnswer(rows, index, commit);
  if (earlier !== undefined) return { ...earlier, value: 0, session };
  const grants: LockGrant[] = [];
  const result = execute(rows, index, commit, grants);
  recordAnswer(rows, index, commit, result);
  return { result, value: 0, session, duplicate: false, ...(grants.length > 0 && { grants }) };
}

/** `grants` receives the waiters for locks that got them, if the commit takes effect. */
function execute(rows: Rows, index: number, commit: Commit, grants: LockGrant[]): CommitResult {
  const { time, ops, assumedBlocks } = commit;
  if (time === undefined) return rejectedResult(index, 'EINVAL', 'a commit has a time');
  if (ops.length > OPS_PER_COMMIT_MAX) return rejectedResult(index, 'EINVAL', 'too many ops');
  if (assumedBlocks.some((id) => id.length !== BLOCK_ID_BYTES)) {
    return rejectedResult(index, 'EINVAL', 'not a block id');
  }
  const failed = failedPreconditions(rows, commit.preconditions);
  if (failed === undefined) return rejectedResult(index, 'EINVAL', 'an empty precondition');
  if (failed.length > 0) {
    const value = { errno: 0, opIndex: 0, detail: 'precondition', current: failed };
    return { index, body: { $case: 'rejected', value } };
  }
  const missing = [...missingBlocks(rows, assumedBlocks), ...staleUploads(rows, ops, commit.uploadedAt ?? 0)];
  if (missing.length > 0) return { index, body: { $case: 'missingBlocks', value: { blockIds: missing } } };
  const ctx = new CommitContext(rows, index, time, commit.session);
  const result = executeOps(ctx, ops);
  if (result.body?.$case === 'ok') grants.push(...ctx.grants);
  return result;
}

function executeOps(ctx: CommitContext, ops: readonly Op[]): CommitResult {
  const results: OpResult[] = [];
  ctx.rows.begin();
  try {
    checkTime(ctx.time);
    for (const op of ops) {
      const result = executeOp(ctx, op);
      results.push(result);
      ctx.made.push(op.body?.$case === 'makeNode' ? result.ino : 0);
    }
    const value = { results, touched: ctx.touched() };
    ctx.rows.commit();
    return { index: ctx.index, body: { $case: 'ok', value } };
  } catch (error) {
    ctx.rows.rollback();
    if (!(error instanceof FsError)) throw error;
    // Without the errno's name, which whoever makes an error of it puts in front again.
    return rejectedResult(ctx.index, error.code, error.message.slice(error.code.length + 2), results.length);
  }
}

function executeOp(ctx: CommitContext, { body }: Op): OpResult {
  switch (body?.$case) {
    case 'makeNode':
      return makeNode(ctx, body.value);
    case 'link':
      return link(ctx, body.value);
    case 'unlink':
      return unlink(ctx, body.value);
    case 'removeDir':
      return removeDir(ctx, body.value);
    case 'rename':
      return rename(ctx, body.value);
    case 'setAttr':
      return setAttr(ctx, body.value);
    case 'writeExtents':
      return writeExtents(ctx, body.value);
    case 'appendExtents':
      return appendExtents(ctx, body.value);
    case 'fallocate':
      return fallocate(ctx, body.value);
    case 'copyRange':
      return copyRange(ctx, body.value);
    case 'setXattr':
      return setXattr(ctx, body.value);
    case 'removeXattr':
      return removeXattr(ctx, body.value);
    case 'setLock':
      return setLock(ctx, body.value);
    case 'cancelLock':
      return cancelLock(ctx, body.value);
    case undefined:
      return fail('EINVAL', 'unknown op');
    default:
      return unreachable(body);
  }
}
