import { FsError } from '../../base/errno.ts';
import { COMMAND_BYTES_MAX, OPS_PER_COMMIT_MAX } from '../../base/limits.ts';
import type { CommitRequest } from '../../gen/ringfs/v1/meta.ts';
import { Command, type Commit, type CommitResult } from '../../gen/ringfs/v1/namespace.ts';
import type { SessionContext } from '../context.ts';
import type { Applied } from '../replica.ts';

/**
 * Puts a commit into the log as the client encoded it, and answers when it is applied and nobody can use what it replaced any
 * more. Throws FsError EINVAL, and what Replica.propose throws.
 */
export async function commit(ctx: SessionContext, request: CommitRequest): Promise<CommitResult> {
  const { lead, session, replica } = ctx;
  const decoded = checkCommit(request.command, session.id);
  const applied = await replica.decide(request.command);
  lead.check();
  await acknowledgeable(ctx, decoded, applied);
  // The streams are closed when leadership ends; if this one outlived it, the client must ask the new leader, which has its
  // own leases to look after.
  lead.check();
  return applied.outcome.result;
}

async function acknowledgeable(
  { lead, session }: SessionContext,
  commit: Commit,
  applied: Applied,
): Promise<void> {
  const { result, duplicate } = applied.outcome;
  if (result.body?.$case !== 'ok') {
    // It changed nothing, but it tells what it found, which like the answer of a read must not be the work of a commit that
    // another client may still be unaware of: EEXIST for a name that the other looks up afterwards and does not find.
    await lead.leases.allSettled(session.id);
    return;
  }
  const inos = result.body.value.touched.flatMap(({ attr }) => (attr === undefined ? [] : [attr.ino]));
  for (const ino of onlyLookedAt(commit)) inos.push(ino);
  // A retry finds the answer of the first application, whose recalls may still be on their way. They are among these.
  const settled = duplicate ? lead.leases.allSettled(session.id) : lead.leases.settled(inos, session.id);
  await Promise.all([settled, lead.holdBack.wait()]);
}

/** What success tells something of without being a change of it: for these it is the answer of a read. */
function* onlyLookedAt({ ops, preconditions }: Commit): IterableIterator<number> {
  for (const { body } of preconditions) {
    if (body !== undefined) yield body.$case === 'dentry' ? body.value.parent : body.value.ino;
  }
  for (const { body } of ops) {
    if (body?.$case === 'copyRange') yield body.value.source;
    // Of two names of one file nothing changes, and it tells that they are there.
    if (body?.$case !== 'rename') continue;
    yield body.value.parent;
    yield body.value.newParent;
  }
}

/** Throws FsError EINVAL. */
function checkCommit(bytes: Uint8Array, session: number): Commit {
  if (bytes.length > COMMAND_BYTES_MAX) {
    throw new FsError('EINVAL', `a command of ${bytes.length} bytes; at most ${COMMAND_BYTES_MAX}`);
  }
  const decoded = decodeCommit(bytes);
  if (decoded === undefined) throw new FsError('EINVAL', 'not an encoded commit');
  if (decoded.session !== session) {
    throw new FsError('EINVAL', `a commit of session ${decoded.session} on the stream of ${session}`);
  }
  if (decoded.ops.length > OPS_PER_COMMIT_MAX) {
    throw new FsError('EINVAL', `${decoded.ops.length} ops; at most ${OPS_PER_COMMIT_MAX}`);
  }
  if (decoded.sequence === 0) throw new FsError('EINVAL', 'sequences start at 1');
  return decoded;
}

function decodeCommit(bytes: Uint8Array): Commit | undefined {
  try {
    const { body } = Command.decode(bytes);
    return body?.$case === 'commit' ? body.value : undefined;
  } catch {
    return undefined; // garbage: the wire library throws errors of several kinds
  }
}
