import { assert } from '../../base/assert.ts';
import { fail } from './context.ts';
import type { ExtentDelta } from './extents.ts';
import { blockKey, condemnedKey } from './keys.ts';
import { BLOCK, CONDEMNED } from './rows.ts';
import type { Rows } from './types.ts';

/**
 * Reference counts of blocks. A block whose last reference goes is condemned: its row stays, is found in the order of its
 * condemnation, and does not count as stored for new commits, because it may be on its way out. A commit that uploads the
 * block again brings it back.
 */

export const BLOCK_ID_BYTES = 32;

/** Fails with EINVAL when an extent gives a block another length than it has. */
export function applyBlockDelta(rows: Rows, index: number, delta: ExtentDelta): void {
  if (delta.conflict) fail('EINVAL', 'two lengths of one block');
  const blocks = [...delta.blocks.values()].filter((block) => block.refs !== 0);
  rows.require(blocks.map((block) => blockKey(block.id)));
  for (const { id, length, refs: change } of blocks) {
    const key = blockKey(id);
    const row = rows.read(key, BLOCK);
    const refs = (row?.refs ?? 0) + change;
    assert(refs >= 0, 'a block is not released more often than referenced');
    if (row !== undefined && row.length !== length) fail('EINVAL', 'not the length of the block');
    if (row !== undefined && row.condemnedAt !== 0) rows.del(condemnedKey(row.condemnedAt, id));
    const condemnedAt = refs === 0 ? index : 0;
    if (refs === 0) rows.write(condemnedKey(index, id), CONDEMNED, { length });
    rows.write(key, BLOCK, { refs, length, condemnedAt, version: index });
  }
}

/** Those of `ids` that no live row vouches for. */
export function missingBlocks(rows: Rows, ids: readonly Uint8Array[]): Uint8Array[] {
  rows.require(ids.map(blockKey));
  return ids.filter((id) => {
    const row = rows.read(blockKey(id), BLOCK);
    return row === undefined || row.condemnedAt !== 0;
  });
}
