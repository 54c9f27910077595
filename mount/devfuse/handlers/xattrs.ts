import { refuseSystemXattr } from '../../xattr-names.ts';
import { encodeEmpty } from '../protocol/plain.ts';
import {
  decodeGetxattr,
  decodeListxattr,
  decodeSetxattr,
  decodeXattrName,
  encodeXattr,
  joinXattrNames,
} from '../protocol/xattrs.ts';
import type { Handler } from './handler.ts';

export const getxattr: Handler = async ({ ino, body, signal }, { fileSystem }) => {
  const { size, name } = decodeGetxattr(body);
  refuseSystemXattr(name);
  return { message: encodeXattr(await fileSystem.getxattr(ino, name, signal), size) };
};

export const listxattr: Handler = async ({ ino, body, signal }, { fileSystem }) => {
  const size = decodeListxattr(body);
  return { message: encodeXattr(joinXattrNames(await fileSystem.listxattr(ino, signal)), size) };
};

export const setxattr: Handler = async ({ caller, ino, body, signal }, { fileSystem }) => {
  const { flags, name, value } = decodeSetxattr(body);
  refuseSystemXattr(name);
  await fileSystem.setxattr(caller, ino, name, value, flags, signal);
  return { message: encodeEmpty() };
};

export const removexattr: Handler = async ({ caller, ino, body, signal }, { fileSystem }) => {
  const name = decodeXattrName(body);
  refuseSystemXattr(name);
  await fileSystem.removexattr(caller, ino, name, signal);
  return { message: encodeEmpty() };
};
