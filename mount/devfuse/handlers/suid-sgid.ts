import type { Attr } from '../../../src/gen/ringfs/v1/namespace.ts';
import type { FileHandle } from '../../../src/ports/file-system.ts';
import type { HandlerContext, Request } from './handler.ts';

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_ISUID = 0o4000;
/** Set-group-ID that means "run as": without group execution it would mean mandatory locking and stays. */
const S_ISGID_AND_IXGRP = 0o2010;

export function isDirectory(attr: Attr): boolean {
  return (attr.mode & S_IFMT) === S_IFDIR;
}

/**
 * Called for a write or truncation by someone without CAP_FSETID. The kernel sets that flag on every write of an ordinary
 * user, so the attributes (which the file system has at hand) are looked at before anything is changed.
 */
export async function clearSuidSgid(
  { ino, caller, signal }: Request,
  { fileSystem }: HandlerContext,
  handle: FileHandle,
): Promise<void> {
  const { mode } = await fileSystem.getattr(ino, handle, signal);
  const clears = (mode & S_ISUID) !== 0 || (mode & S_ISGID_AND_IXGRP) === S_ISGID_AND_IXGRP;
  if (!clears || (mode & S_IFMT) !== S_IFREG) return;
  await fileSystem.setattr(caller, ino, { clearSuidSgid: true }, handle, signal);
}
