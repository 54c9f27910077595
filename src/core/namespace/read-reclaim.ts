import { concatBytes } from '../../base/bytes.ts';
import type { ReclaimRow } from '../../gen/ringfs/v1/rows.ts';
import {
  blockIdOfCondemnedKey,
  blockIdOfKey,
  blockKey,
  condemnedKey,
  numberOfKey,
  RECLAIM_KEY,
  TABLE,
  tableRange,
} from './keys.ts';
import { BLOCK, CONDEMNED, RECLAIM } from './rows.ts';
import type { RowSource } from './types.ts';

/** Reads for garbage collection. */

export interface Condemned {
  readonly blockId: Uint8Array;
  readonly condemnedAt: number;
  readonly length: number;
  /** 0: not marked. */
  readonly markedAt: number;
}

/** Condemned blocks behind `after`, in the order of their condemnation. */
export async function listCondemned(
  source: RowSource,
  after: Condemned | undefined,
  limit: number,
): Promise<Condemned[]> {
  const out: Condemned[] = [];
  const { gte: first, lt } = tableRange(TABLE.condemned);
  const gte =
    after === undefined
      ? first
      : concatBytes([condemnedKey(after.condemnedAt, after.blockId), Uint8Array.of(0)]);
  for await (const [key, value] of source.scan({ gte, lt, limit })) {
    const { length, markedAt = 0 } = CONDEMNED.decode(value);
    const blockId = blockIdOfCondemnedKey(key).slice();
    out.push({ blockId, condemnedAt: numberOfKey(key), length, markedAt });
  }
  return out;
}

/** What garbage collection has done so far. */
export async function readReclaim(source: RowSource): Promise<ReclaimRow> {
  const bytes = await source.get(RECLAIM_KEY);
  return bytes === undefined
    ? { floor: 0, droppedBlocks: 0, droppedBytes: 0, version: 0 }
    : RECLAIM.decode(bytes);
}

/** Those of `ids` that no row knows, condemned ones included among the known. */
export async function unknownBlocks(source: RowSource, ids: readonly Uint8Array[]): Promise<boolean[]> {
  const rows = await source.getMany(ids.map(blockKey));
  return rows.map((row) => row === undefined);
}

/** Those of `blocks` that are condemned as they say and marked, with the index of that. */
export async function markedAmong(source: RowSource, blocks: readonly Condemned[]): Promise<Condemned[]> {
  const rows = await source.getMany(blocks.map((b) => condemnedKey(b.condemnedAt, b.blockId)));
  return blocks.flatMap((block, i) => {
    const row = rows[i];
    const markedAt = row === undefined ? 0 : (CONDEMNED.decode(row).markedAt ?? 0);
    return markedAt === 0 ? [] : [{ ...block, markedAt }];
  });
}

export interface LiveBlock {
  readonly blockId: Uint8Array;
  readonly length: number;
}

/** Of `limit` blocks behind `after`, those that files refer to; and the last one looked at, if there was any. */
export async function listLiveBlocks(
  source: RowSource,
  after: Uint8Array | undefined,
  limit: number,
): Promise<{ readonly live: LiveBlock[]; readonly last: Uint8Array | undefined }> {
  const live: LiveBlock[] = [];
  let last: Uint8Array | undefined;
  const { gte: first, lt } = tableRange(TABLE.block);
  const gte = after === undefined ? first : concatBytes([blockKey(after), Uint8Array.of(0)]);
  for await (const [key, value] of source.scan({ gte, lt, limit })) {
    const { refs, length } = BLOCK.decode(value);
    last = blockIdOfKey(key).slice();
    if (refs > 0) live.push({ blockId: last, length });
  }
  return { live, last };
}
