import { createHash } from 'node:crypto';
import { EMPTY_BYTES } from '../../src/base/bytes.ts';
import type {
  AppendExtents,
  CopyRange,
  Extent,
  Fallocate,
  MakeNode,
  Op,
  SetAttr,
  WriteExtents,
} from '../../src/gen/ringfs/v1/namespace.ts';

/** Short constructors of ops, for tests. */

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const text = (value: Uint8Array): string => new TextDecoder().decode(value);

export const REG = 0o100000;
export const DIR = 0o040000;
export const LNK = 0o120000;
export const FIFO = 0o010000;

export function makeNode(parent: number, name: string, mode: number, more: Partial<MakeNode> = {}): Op {
  const value = {
    parent,
    name: bytes(name),
    mode,
    uid: 0,
    gid: 0,
    rdev: 0,
    symlinkTarget: EMPTY_BYTES,
    umask: 0,
    ...more,
  };
  return { body: { $case: 'makeNode', value } };
}

export const mkfile = (parent: number, name: string): Op => makeNode(parent, name, REG | 0o644);
export const mkdir = (parent: number, name: string): Op => makeNode(parent, name, DIR | 0o755);
export const symlink = (parent: number, name: string, target: string): Op =>
  makeNode(parent, name, LNK | 0o777, { symlinkTarget: bytes(target) });

export function link(ino: number, parent: number, name: string): Op {
  return { body: { $case: 'link', value: { ino, parent, name: bytes(name) } } };
}

export function unlink(parent: number, name: string): Op {
  return { body: { $case: 'unlink', value: { parent, name: bytes(name) } } };
}

export function rmdir(parent: number, name: string): Op {
  return { body: { $case: 'removeDir', value: { parent, name: bytes(name) } } };
}

export function rename(parent: number, name: string, newParent: number, newName: string, flags = 0): Op {
  const value = { parent, name: bytes(name), newParent, newName: bytes(newName), flags };
  return { body: { $case: 'rename', value } };
}

export function setAttr(ino: number, changes: Partial<SetAttr>): Op {
  return { body: { $case: 'setAttr', value: { ino, clearSuidSgid: false, ...changes } } };
}

export const truncate = (ino: number, size: number): Op => setAttr(ino, { size });

export function write(ino: number, extents: Extent[], more: Partial<WriteExtents> = {}): Op {
  const value = { ino, extents, clearSuidSgid: false, keepSize: false, keepTimes: false, ...more };
  return { body: { $case: 'writeExtents', value } };
}

export function append(ino: number, extents: Extent[], more: Partial<AppendExtents> = {}): Op {
  return { body: { $case: 'appendExtents', value: { ino, extents, clearSuidSgid: false, ...more } } };
}

export function fallocate(ino: number, offset: number, length: number, more: Partial<Fallocate> = {}): Op {
  const value = { ino, offset, length, punch: false, keepSize: false, clearSuidSgid: false, ...more };
  return { body: { $case: 'fallocate', value } };
}

export const punch = (ino: number, offset: number, length: number): Op =>
  fallocate(ino, offset, length, { punch: true, keepSize: true });

/** Copies [sourceOffset, sourceOffset + length) of `source` to `offset` of `ino`. */
export function copyRange(
  source: number,
  sourceOffset: number,
  ino: number,
  offset: number,
  length: number,
  more: Partial<CopyRange> = {},
): Op {
  const value = { ino, offset, source, sourceOffset, length, clearSuidSgid: false, ...more };
  return { body: { $case: 'copyRange', value } };
}

/** A file without a name. */
export const mktemp = (parent: number, linkable = true, more: Partial<MakeNode> = {}): Op =>
  makeNode(parent, '', REG | 0o600, { unnamed: { linkable }, ...more });

export function setXattr(ino: number, name: string, value: Uint8Array, flags = 0, clearSgid = false): Op {
  return { body: { $case: 'setXattr', value: { ino, name: bytes(name), value, flags, clearSgid } } };
}

export function removeXattr(ino: number, name: string): Op {
  return { body: { $case: 'removeXattr', value: { ino, name: bytes(name) } } };
}

/** An extent of bytes that travel inside the commit. */
export function inline(offset: number, data: Uint8Array | string): Extent {
  const content = typeof data === 'string' ? bytes(data) : data;
  return {
    offset,
    length: content.length,
    blockId: EMPTY_BYTES,
    blockOffset: 0,
    blockLength: 0,
    inline: content,
  };
}

/** An extent over a block that is named by `label`. */
export function block(
  offset: number,
  length: number,
  label: string | number,
  blockOffset = 0,
  blockLength = blockOffset + length,
): Extent {
  return { offset, length, blockId: blockId(label), blockOffset, blockLength, inline: EMPTY_BYTES };
}

export function blockId(label: string | number): Uint8Array {
  return new Uint8Array(createHash('sha256').update(String(label)).digest());
}
