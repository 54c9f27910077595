import {
  type BlockNodeInfo,
  BlockNodeMode,
  type RegisterBlockNode,
  type SetBlockNodeMode,
} from '../../gen/ringfs/v1/namespace.ts';
import type { BlockNodeRow } from '../../gen/ringfs/v1/rows.ts';
import { blockNodeKey } from './keys.ts';
import { done, refused } from './outcome.ts';
import { BLOCK_NODE } from './rows.ts';
import type { ApplyOutcome, Rows } from './types.ts';

/** The registry of block nodes: what they said of themselves, and what operators decided about them. */

const NODE_ID = /^[\x21-\x7e]{1,128}$/;
const MODES: ReadonlySet<BlockNodeMode> = new Set([
  BlockNodeMode.UNSPECIFIED,
  BlockNodeMode.DRAINING,
  BlockNodeMode.REMOVED,
]);

/** The row of a node that reports `node` at `index`. What was decided about it stays. */
export function reportedRow(row: BlockNodeRow | undefined, node: BlockNodeInfo, index: number): BlockNodeRow {
  if (row === undefined) return { node, version: index, placedAt: index };
  const same = row.node?.domain === node.domain && row.node?.virtualNodes === node.virtualNodes;
  return { ...row, node, version: index, placedAt: same ? row.placedAt : index };
}

/** The row after an operator's decision. */
export function decidedRow(row: BlockNodeRow, mode: BlockNodeMode, index: number): BlockNodeRow {
  return { ...row, mode, version: index, placedAt: index };
}

/** Adds a block node to the registry, or replaces what it said before. */
export function registerBlockNode(rows: Rows, index: number, command: RegisterBlockNode): ApplyOutcome {
  const { node } = command;
  if (node === undefined || !NODE_ID.test(node.id)) return refused(index, 'EINVAL', 'id of a block node');
  const key = blockNodeKey(node.id);
  rows.write(key, BLOCK_NODE, reportedRow(rows.read(key, BLOCK_NODE), node, index));
  return done(index);
}

/** Whether new blocks may lie on a node: it neither drains nor was removed. */
export function takesBlocks({ mode }: { readonly mode?: BlockNodeMode | undefined }): boolean {
  return mode === undefined || mode === BlockNodeMode.UNSPECIFIED;
}

/** Whether a node takes blocks, gives its blocks away, or is not to serve. The same mode again changes nothing. */
export function setBlockNodeMode(rows: Rows, index: number, command: SetBlockNodeMode): ApplyOutcome {
  const { id, mode } = command;
  if (!NODE_ID.test(id)) return refused(index, 'EINVAL', 'id of a block node');
  if (!MODES.has(mode)) return refused(index, 'EINVAL', 'unknown mode of a block node');
  const key = blockNodeKey(id);
  const row = rows.read(key, BLOCK_NODE);
  if (row === undefined) return refused(index, 'ENOENT', 'no such block node');
  if ((row.mode ?? BlockNodeMode.UNSPECIFIED) === mode) return done(index, 0, true);
  rows.write(key, BLOCK_NODE, decidedRow(row, mode, index));
  return done(index);
}
