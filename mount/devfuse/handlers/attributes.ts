import { FsError } from '../../../src/base/errno.ts';
import { FILE_SIZE_BYTES_MAX } from '../../../src/base/limits.ts';
import { decodeGetattr, decodeSetattr, encodeAttr, encodeStatfs } from '../protocol/attributes.ts';
import type { Handler } from './handler.ts';
import { isDirectory } from './suid-sgid.ts';

export const getattr: Handler = async ({ ino, body, signal }, { fileSystem, validities }) => ({
  message: encodeAttr(await fileSystem.getattr(ino, decodeGetattr(body), signal), validities),
});

export const setattr: Handler = async ({ caller, ino, body, signal }, context) => {
  const { fileSystem, validities, clearsSuidSgid } = context;
  const { handle, request } = decodeSetattr(body);
  if (request.size !== undefined && request.size > FILE_SIZE_BYTES_MAX) throw new FsError('EFBIG');
  const changesOwner = request.uid !== undefined || request.gid !== undefined;
  // chown(2) clears the bits of everything but a directory, and with HANDLE_KILLPRIV_V2 the kernel leaves that to us
  // without saying so in the request.
  const clears =
    clearsSuidSgid &&
    changesOwner &&
    request.mode === undefined &&
    !isDirectory(await fileSystem.getattr(ino, handle, signal));
  const attr = await fileSystem.setattr(
    caller,
    ino,
    clears ? { ...request, clearSuidSgid: true } : request,
    handle,
    signal,
  );
  return { message: encodeAttr(attr, validities) };
};

export const statfs: Handler = async ({ signal }, { fileSystem }) => ({
  message: encodeStatfs(await fileSystem.statfs(signal)),
});
