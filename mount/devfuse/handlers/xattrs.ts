import { checkSystemXattr, listedXattrs } from '../../xattr-names.ts';
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

export const getxattr: Handler = async ({ ino, body, signal }, { fileSystem, accessLists }) => {
  const { size, name } = decodeGetxattr(body);
  checkSystemXattr(name, accessLists);
  return { message: encodeXattr(await fileSystem.getxattr(ino, name, signal), size) };
};

export const listxattr: Handler = async ({ caller, ino, body, signal }, { fileSystem, accessLists }) => {
  const size = decodeListxattr(body);
  // The kernel says who asks, but not with which capabilities: CAP_SYS_ADMIN is taken to be root's.
  const privileged = caller.uid === 0;
  const names = listedXattrs(await fileSystem.listxattr(ino, signal), { accessLists, privileged });
  return { message: encodeXattr(joinXattrNames(names), size) };
};

export const setxattr: Handler = async ({ caller, ino, body, signal }, { fileSystem, accessLists }) => {
  const { flags, clearSgid, name, value } = decodeSetxattr(body, accessLists);
  checkSystemXattr(name, accessLists);
  await fileSystem.setxattr(caller, ino, name, value, { flags, clearSgid }, signal);
  return { message: encodeEmpty() };
};

export const removexattr: Handler = async ({ caller, ino, body, signal }, { fileSystem, accessLists }) => {
  const name = decodeXattrName(body);
  checkSystemXattr(name, accessLists);
  await fileSystem.removexattr(caller, ino, name, signal);
  return { message: encodeEmpty() };
};
