import { FsError } from '../../../src/base/errno.ts';
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

const CAPABILITY = new TextEncoder().encode('security.capability');

/**
 * File capabilities do not outlive a change of the content. For writes through the page cache the kernel sees to that; those that go past it
 * are ours (HANDLE_KILLPRIV_V2 in include/uapi/linux/fuse.h). Without attributes this is answered by the mount itself.
 */
export async function clearCapability(
  { ino, caller, signal }: Request,
  { fileSystem }: HandlerContext,
): Promise<void> {
  try {
    await fileSystem.getxattr(ino, CAPABILITY, signal);
    await fileSystem.removexattr(caller, ino, CAPABILITY, signal);
  } catch (error) {
    if (!(error instanceof FsError && error.code === 'ENODATA')) throw error;
  }
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
