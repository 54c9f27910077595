import type { Ino } from '../../../src/base/ids.ts';
import { READDIR_ENTRIES_MAX } from '../../../src/base/limits.ts';
import type { DirectoryEntry } from '../../../src/ports/file-system.ts';
import { DirectoryPacker, entriesPerReply } from '../protocol/directories.ts';
import { decodeFsync, decodeHandle, decodeRead, encodeOpen } from '../protocol/files.ts';
import { encodeEmpty } from '../protocol/plain.ts';
import { MalformedRequest } from '../protocol/wire.ts';
import type { Handler, HandlerContext, Reply, Request } from './handler.ts';

/** The kernel asks for a page or a few; this bounds the reply to a hostile request. */
const READDIR_REPLY_BYTES_MAX = 1024 * 1024;

export const opendir: Handler = async ({ ino, signal }, { fileSystem }) => {
  const handle = await fileSystem.opendir(ino, signal);
  return {
    message: encodeOpen(handle, 0),
    undelivered: () => {
      fileSystem.releasedir(ino, handle).catch(() => {
        // There is no one to tell, and the file system has logged it.
      });
    },
  };
};

async function list(request: Request, context: HandlerContext, plus: boolean): Promise<Reply> {
  const { ino, body, signal } = request;
  const { fileSystem, validities } = context;
  const { handle, offset: cookie, size } = decodeRead(body);
  if (!Number.isSafeInteger(cookie)) throw new MalformedRequest(`${cookie} is not a directory position`);
  const sizeBytes = Math.min(size, READDIR_REPLY_BYTES_MAX);
  const limit = Math.min(READDIR_ENTRIES_MAX, entriesPerReply(sizeBytes, plus));
  if (limit === 0) throw new MalformedRequest(`${size} bytes hold no directory entry`);
  const entries = await fileSystem.readdir(ino, handle, cookie, limit, plus, signal);

  const packer = new DirectoryPacker(sizeBytes, plus ? validities : undefined);
  let packed = 0;
  while (packed < entries.length && packer.add(entries[packed]!)) packed++;
  // The file system counted every entry with attributes as referenced; the kernel sees only those that fit.
  if (plus) forget(entries.slice(packed), context);
  const undelivered = (): void => forget(entries.slice(0, packed), context);
  return { message: packer.finish(), ...(plus && { undelivered }) };
}

function forget(entries: readonly DirectoryEntry[], { fileSystem }: HandlerContext): void {
  for (const entry of entries) {
    if (entry.attr !== undefined) fileSystem.forget(entry.attr.ino as Ino, 1);
  }
}

export const readdir: Handler = (request, context) => list(request, context, false);

export const readdirplus: Handler = (request, context) => list(request, context, true);

export const releasedir: Handler = async ({ ino, body }, { fileSystem }) => {
  await fileSystem.releasedir(ino, decodeHandle(body));
  return { message: encodeEmpty() };
};

export const fsyncdir: Handler = async ({ ino, body, signal }, { fileSystem }) => {
  await fileSystem.fsyncdir(ino, decodeFsync(body).handle, signal);
  return { message: encodeEmpty() };
};
