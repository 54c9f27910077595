import type { Ino } from '../../../src/base/ids.ts';
import type { Attr } from '../../../src/gen/ringfs/v1/namespace.ts';
import {
  decodeLink,
  decodeMkdir,
  decodeMknod,
  decodeName,
  decodeSymlink,
  encodeEntry,
} from '../protocol/entries.ts';
import type { Handler, HandlerContext, Reply } from './handler.ts';

/** LOOKUP and the requests that make an entry: all are answered with the inode, which the kernel then references. */

function entryReply(attr: Attr, context: HandlerContext): Reply {
  return {
    message: encodeEntry(attr, context.validities),
    undelivered: () => context.fileSystem.forget(attr.ino as Ino, 1),
  };
}

export const lookup: Handler = async ({ ino, body, signal }, context) =>
  entryReply(await context.fileSystem.lookup(ino, decodeName(body), signal), context);

export const mknod: Handler = async ({ caller, ino, body, signal }, context) => {
  const { name, mode, umask, rdev } = decodeMknod(body);
  const maker = { ...caller, umask };
  return entryReply(await context.fileSystem.mknod(maker, ino, name, mode, rdev, signal), context);
};

export const mkdir: Handler = async ({ caller, ino, body, signal }, context) => {
  const { name, mode, umask } = decodeMkdir(body);
  return entryReply(await context.fileSystem.mkdir({ ...caller, umask }, ino, name, mode, signal), context);
};

export const symlink: Handler = async ({ caller, ino, body, signal }, context) => {
  const { name, target } = decodeSymlink(body);
  return entryReply(await context.fileSystem.symlink(caller, ino, name, target, signal), context);
};

export const link: Handler = async ({ ino, body, signal }, context) => {
  const { oldNodeId, name } = decodeLink(body);
  return entryReply(await context.fileSystem.link(oldNodeId as Ino, ino, name, signal), context);
};
