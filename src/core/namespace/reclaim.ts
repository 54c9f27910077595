import { BLOCK_SIZE_BYTES_MAX } from '../../base/limits.ts';
import type { CondemnBlocks, DropBlocks, MarkBlocks } from '../../gen/ringfs/v1/namespace.ts';
import { BLOCK_ID_BYTES } from './blocks.ts';
import { blockKey, condemnedKey, RECLAIM_KEY } from './keys.ts';
import { done, refused } from './outcome.ts';
import { BLOCK, CONDEMNED, RECLAIM } from './rows.ts';
import type { ApplyOutcome, Rows } from './types.ts';

/**
 * Garbage collection of blocks, as far as the state machine decides it. Every copy and every commit carries the commit index
 * that its client knew when it uploaded. Marking a condemned block at index D lets copies uploaded before D be deleted, whenever
 * and by whomever; from D on, only commits with uploads at D or later revive the block. When its row is dropped, the highest such
 * D of all dropped rows stays as the floor for blocks without a row.
 */

/** Copies that nobody refers to and that no row knows. The value is the number of those condemned now. */
export function condemnBlocks(rows: Rows, index: number, { copies }: CondemnBlocks): ApplyOutcome {
  if (
    !copies.every(
      ({ blockId, length }) => blockId.length === BLOCK_ID_BYTES && length <= BLOCK_SIZE_BYTES_MAX,
    )
  )
    return refused(index, 'EINVAL', 'not a block');
  rows.require([RECLAIM_KEY, ...copies.map(({ blockId }) => blockKey(blockId))]);
  // Other copies of the same upload may have been deleted before the row was dropped.
  const fence = rows.read(RECLAIM_KEY, RECLAIM)?.floor ?? 0;
  let condemned = 0;
  for (const { blockId, length } of copies) {
    const key = blockKey(blockId);
    if (rows.read(key, BLOCK) !== undefined) continue;
    rows.write(key, BLOCK, { refs: 0, length, condemnedAt: index, version: index, fence });
    rows.knownAbsent(condemnedKey(index, blockId));
    rows.write(condemnedKey(index, blockId), CONDEMNED, { length });
    condemned++;
  }
  return done(index, condemned);
}

/** Blocks that were revived since, or marked already, are left alone. The value is the number of those marked now. */
export function markBlocks(rows: Rows, index: number, { blocks }: MarkBlocks): ApplyOutcome {
  if (!blocks.every(({ blockId }) => blockId.length === BLOCK_ID_BYTES))
    return refused(index, 'EINVAL', 'not a block id');
  rows.require(blocks.flatMap((b) => [blockKey(b.blockId), condemnedKey(b.condemnedAt, b.blockId)]));
  let marked = 0;
  for (const { blockId, condemnedAt } of blocks) {
    const row = rows.read(blockKey(blockId), BLOCK);
    if (row === undefined || row.condemnedAt === 0 || row.condemnedAt !== condemnedAt) continue;
    const key = condemnedKey(condemnedAt, blockId);
    if ((rows.read(key, CONDEMNED)?.markedAt ?? 0) !== 0) continue;
    rows.write(blockKey(blockId), BLOCK, { ...row, version: index, fence: index });
    rows.write(key, CONDEMNED, { length: row.length, markedAt: index });
    marked++;
  }
  return done(index, marked);
}

/** Blocks that were revived since, or condemned and marked anew, are left alone. The value is the number of those dropped now. */
export function dropBlocks(rows: Rows, index: number, { blocks }: DropBlocks): ApplyOutcome {
  if (!blocks.every(({ blockId }) => blockId.length === BLOCK_ID_BYTES))
    return refused(index, 'EINVAL', 'not a block id');
  rows.require([RECLAIM_KEY, ...blocks.map(({ blockId }) => blockKey(blockId))]);
  const before = rows.read(RECLAIM_KEY, RECLAIM);
  let floor = before?.floor ?? 0;
  let dropped = 0;
  let bytes = 0;
  for (const { blockId, markedAt } of blocks) {
    const row = rows.read(blockKey(blockId), BLOCK);
    if (row === undefined || row.condemnedAt === 0 || markedAt === 0 || row.fence !== markedAt) continue;
    const key = condemnedKey(row.condemnedAt, blockId);
    // A block that was found without a row has a fence before it is marked.
    if (rows.read(key, CONDEMNED)?.markedAt !== markedAt) continue;
    rows.del(blockKey(blockId));
    rows.del(key);
    floor = Math.max(floor, markedAt);
    dropped++;
    bytes += row.length;
  }
  if (dropped > 0) {
    const droppedBlocks = (before?.droppedBlocks ?? 0) + dropped;
    const droppedBytes = (before?.droppedBytes ?? 0) + bytes;
    rows.write(RECLAIM_KEY, RECLAIM, { floor, droppedBlocks, droppedBytes, version: index });
  }
  return done(index, dropped);
}
