import { defined } from '../../base/assert.ts';
import { EMPTY_BYTES } from '../../base/bytes.ts';
import { FsError } from '../../base/errno.ts';
import type { Ino } from '../../base/ids.ts';
import { SYMLINK_TARGET_BYTES_MAX } from '../../base/limits.ts';
import type { Attr, Op, Precondition, Unnamed } from '../../gen/ringfs/v1/namespace.ts';
import type { Caller, ExpectedFile } from '../../ports/file-system.ts';
import { PreconditionFailed } from '../../ports/meta-service.ts';
import type { Committed, VfsCore } from '../core.ts';
import type { InodeState } from '../inode-state.ts';
import { S_IFLNK } from '../mode.ts';
import { interruptible } from '../wait.ts';
import type { WriteBack } from '../write-back.ts';
import { checkName } from './names.ts';
import * as op from './op.ts';
import { letGo } from './sync.ts';

export interface NewNode {
  readonly parent: Ino;
  readonly name: Uint8Array;
  /** With type. */
  readonly mode: number;
  readonly rdev?: number;
  readonly symlinkTarget?: Uint8Array;
  /** O_TMPFILE: without a name. */
  readonly unnamed?: Unnamed;
}

/** Makes an inode and its name in one commit. */
export async function makeNode(
  core: VfsCore,
  caller: Caller,
  { parent, name, mode, rdev = 0, symlinkTarget = EMPTY_BYTES, unnamed }: NewNode,
  signal?: AbortSignal,
): Promise<Attr> {
  if (!unnamed) checkName(name);
  const { uid, gid, umask = 0 } = caller;
  const node = op.makeNode({
    parent,
    name,
    mode,
    umask,
    uid,
    gid,
    rdev,
    symlinkTarget,
    ...(unnamed && { unnamed }),
  });
  const ok = await core.commit([node], { signal });
  const attr = touchedAttr(ok, defined(ok.results[0], 'the result of MakeNode').ino);
  core.kernel.lookedUp(attr.ino);
  return attr;
}

export async function symlink(
  core: VfsCore,
  caller: Caller,
  parent: Ino,
  name: Uint8Array,
  target: Uint8Array,
  signal?: AbortSignal,
): Promise<Attr> {
  if (target.length === 0) throw new FsError('ENOENT', 'empty target');
  if (target.length > SYMLINK_TARGET_BYTES_MAX) throw new FsError('ENAMETOOLONG', 'target');
  const node = { parent, name, mode: S_IFLNK | 0o777, symlinkTarget: target };
  return await makeNode(core, caller, node, signal);
}

export async function link(
  core: VfsCore,
  writeBack: WriteBack,
  ino: Ino,
  parent: Ino,
  name: Uint8Array,
  signal?: AbortSignal,
): Promise<Attr> {
  checkName(name);
  const state = core.inodes.get(ino);
  if (state?.removed) return await linkUnnamed(core, writeBack, state, parent, name, signal);
  return await commitLink(core, ino, parent, name, signal);
}

/**
 * A first name for a file made without one. Held open meanwhile: what was written would be dropped with a last close that
 * comes before the file is known to have a name.
 */
async function linkUnnamed(
  core: VfsCore,
  writeBack: WriteBack,
  state: InodeState,
  parent: Ino,
  name: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<Attr> {
  return await whileOpen(core, writeBack, state, signal, () =>
    commitLink(core, state.ino, parent, name, signal),
  );
}

async function whileOpen<T>(
  core: VfsCore,
  writeBack: WriteBack,
  state: InodeState,
  signal: AbortSignal | undefined,
  commit: () => Promise<T>,
): Promise<T> {
  state.handles++;
  try {
    await interruptible(writeBack.flush(state), signal);
    return await commit();
  } finally {
    await letGo(core, writeBack, state);
  }
}

/** A first name for a file made without one, that of another file, in one commit. */
export async function linkOver(
  core: VfsCore,
  writeBack: WriteBack,
  ino: Ino,
  { parent, name }: { readonly parent: Ino; readonly name: Uint8Array },
  expected: ExpectedFile | undefined,
  signal?: AbortSignal,
): Promise<Attr> {
  checkName(name);
  const state = core.inodes.get(ino);
  if (!state?.removed) throw new FsError('EINVAL', 'not an unnamed file');
  return await whileOpen(core, writeBack, state, signal, async () => {
    const ops = [op.unlink(parent, name), op.link(ino, parent, name)];
    const ok = await commitExpected(core, ops, { parent, name }, expected, signal);
    const attr = await core.view(touchedAttr(ok, ino), signal);
    core.kernel.lookedUp(ino);
    return attr;
  });
}

/** A commit that takes effect only if the name leads to `expected`, unchanged. Throws EAGAIN otherwise. */
export async function commitExpected(
  core: VfsCore,
  ops: readonly Op[],
  { parent, name }: { readonly parent: Ino; readonly name: Uint8Array },
  expected: ExpectedFile | undefined,
  signal?: AbortSignal,
): Promise<Committed> {
  if (expected === undefined) return await core.commit(ops, { signal });
  const { ino, version } = expected;
  const preconditions: readonly Precondition[] = [
    { body: { $case: 'dentry', value: { parent, name, ino } } },
    { body: { $case: 'inode', value: { ino, version } } },
  ];
  try {
    return await core.commit(ops, { preconditions, signal });
  } catch (thrown) {
    if (!(thrown instanceof PreconditionFailed)) throw thrown;
    throw new FsError('EAGAIN', 'the file is not the expected one', { cause: thrown });
  }
}

async function commitLink(
  core: VfsCore,
  ino: Ino,
  parent: Ino,
  name: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<Attr> {
  const ok = await core.commit([op.link(ino, parent, name)], { signal });
  const attr = await core.view(touchedAttr(ok, ino), signal);
  core.kernel.lookedUp(ino);
  return attr;
}

/** An inode as a commit left it. */
export function touchedAttr(ok: Committed, ino: number): Attr {
  const touched = ok.touched.find(({ attr }) => attr?.ino === ino);
  return defined(touched?.attr, 'the attributes of a changed inode');
}
