import { FsError } from '../../../src/base/errno.ts';
import { decodeLock, encodeLock } from '../protocol/locks.ts';
import { encodeEmpty } from '../protocol/plain.ts';
import type { Handler } from './handler.ts';

export const getlk: Handler = async ({ ino, body, signal }, { fileSystem }) => {
  const { handle, request } = decodeLock(body);
  if (request.type === 'unlock') throw new FsError('EINVAL', 'a query for no lock');
  return { message: encodeLock(await fileSystem.getlk(ino, handle, request, signal)) };
};

const set =
  (wait: boolean): Handler =>
  async ({ ino, body, signal }, { fileSystem }) => {
    const { handle, request } = decodeLock(body);
    await fileSystem.setlk(ino, handle, request, wait, signal);
    return { message: encodeEmpty() };
  };

export const setlk = set(false);
export const setlkw = set(true);
