import type { Ino } from '../../../src/base/ids.ts';
import { decodeName, decodeRename, decodeRename2, type RenameMessage } from '../protocol/entries.ts';
import { encodeBytes, encodeEmpty } from '../protocol/plain.ts';
import type { Handler, HandlerContext, Reply, Request } from './handler.ts';

/** Removing and renaming entries; READLINK. */

export const unlink: Handler = async ({ ino, body, signal }, { fileSystem }) => {
  await fileSystem.unlink(ino, decodeName(body), signal);
  return { message: encodeEmpty() };
};

export const rmdir: Handler = async ({ ino, body, signal }, { fileSystem }) => {
  await fileSystem.rmdir(ino, decodeName(body), signal);
  return { message: encodeEmpty() };
};

async function renameAs(request: Request, context: HandlerContext, message: RenameMessage): Promise<Reply> {
  const { name, newParent, newName, flags } = message;
  await context.fileSystem.rename(request.ino, name, newParent as Ino, newName, flags, request.signal);
  return { message: encodeEmpty() };
}

export const rename: Handler = (request, context) => renameAs(request, context, decodeRename(request.body));

export const rename2: Handler = (request, context) => renameAs(request, context, decodeRename2(request.body));

export const readlink: Handler = async ({ ino, signal }, { fileSystem }) => ({
  message: encodeBytes(await fileSystem.readlink(ino, signal)),
});
