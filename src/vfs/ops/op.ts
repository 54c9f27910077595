import type {
  AppendExtents,
  CancelLock,
  CopyRange,
  Extent,
  Fallocate,
  MakeNode,
  Op,
  Rename,
  SetAttr,
  SetLock,
  SetXattr,
  WriteExtents,
} from '../../gen/ringfs/v1/namespace.ts';

type Body = NonNullable<Op['body']>;
const op = (body: Body): Op => ({ body });

/** The operations of a commit by name. */
export const makeNode = (value: MakeNode): Op => op({ $case: 'makeNode', value });
export const link = (ino: number, parent: number, name: Uint8Array): Op =>
  op({ $case: 'link', value: { ino, parent, name } });
export const unlink = (parent: number, name: Uint8Array): Op =>
  op({ $case: 'unlink', value: { parent, name } });
export const removeDir = (parent: number, name: Uint8Array): Op =>
  op({ $case: 'removeDir', value: { parent, name } });
export const rename = (value: Rename): Op => op({ $case: 'rename', value });
export const setAttr = (value: SetAttr): Op => op({ $case: 'setAttr', value });
export const writeExtents = (value: WriteExtents): Op => op({ $case: 'writeExtents', value });
export const appendExtents = (value: AppendExtents): Op => op({ $case: 'appendExtents', value });
export const fallocate = (value: Fallocate): Op => op({ $case: 'fallocate', value });
export const copyRange = (value: CopyRange): Op => op({ $case: 'copyRange', value });
export const setXattr = (value: SetXattr): Op => op({ $case: 'setXattr', value });
export const removeXattr = (ino: number, name: Uint8Array): Op =>
  op({ $case: 'removeXattr', value: { ino, name } });
export const setLock = (value: SetLock): Op => op({ $case: 'setLock', value });
export const cancelLock = (value: CancelLock): Op => op({ $case: 'cancelLock', value });

const NO_BYTES = new Uint8Array(0);

export function inlineExtent(offset: number, inline: Uint8Array): Extent {
  return { offset, length: inline.length, blockId: NO_BYTES, blockOffset: 0, blockLength: 0, inline };
}

export function blockExtent(
  offset: number,
  length: number,
  blockId: Uint8Array,
  blockOffset: number,
  blockLength: number,
): Extent {
  return { offset, length, blockId, blockOffset, blockLength, inline: NO_BYTES };
}
