import { assert } from '../../base/assert.ts';
import { toBinary } from '../../base/bytes.ts';
import type { Op } from '../../gen/ringfs/v1/namespace.ts';
import { fail } from './context.ts';
import type { ExtentDelta } from './extents.ts';
import { blockKey, condemnedKey, RECLAIM_KEY } from './keys.ts';
import { BLOCK, CONDEMNED, RECLAIM } from './rows.ts';
import type { Rows } from './types.ts';

/**
 * Reference counts of blocks. A block whose last reference goes is condemned: its row stays, is found in the order of its
 * condemnation, and does not count as stored for new commits, because it may be on its way out. A commit that uploads the
 * block again brings it back, if the upload is not one that garbage collection may have deleted (see reclaim.ts).
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
    if (refs === 0) {
      // No entry of an earlier index can have made one under this.
      rows.knownAbsent(condemnedKey(index, id));
      rows.write(condemnedKey(index, id), CONDEMNED, { length });
    }
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

/**
 * Those blocks that `ops` refer to and that nothing refers to yet, if copies uploaded at `uploadedAt` may have been deleted.
 * The state before the commit counts: a block that is live then keeps its copies while the commit is applied.
 */
export function staleUploads(rows: Rows, ops: readonly Op[], uploadedAt: number): Uint8Array[] {
  const named = new Map<string, Uint8Array>();
  for (const { body } of ops) {
    if (body?.$case !== 'writeExtents' && body?.$case !== 'appendExtents') continue;
    // What is not a block id is refused by the op.
    for (const { blockId } of body.value.extents)
      if (blockId.length === BLOCK_ID_BYTES) named.set(toBinary(blockId), blockId);
  }
  if (named.size === 0) return [];
  const ids = [...named.values()];
  rows.require([RECLAIM_KEY, ...ids.map(blockKey)]);
  const floor = rows.read(RECLAIM_KEY, RECLAIM)?.floor ?? 0;
  return ids.filter((id) => {
    const row = rows.read(blockKey(id), BLOCK);
    if (row === undefined) return uploadedAt < floor;
    return row.refs === 0 && uploadedAt < (row.fence ?? 0);
  });
}
