import { BLOCK_IDS_PER_CALL_MAX } from '../base/limits.ts';
import { takesBlocks } from '../core/namespace/block-nodes.ts';
import { type LiveBlock, listLiveBlocks } from '../core/namespace/read-reclaim.ts';
import type { RowSource } from '../core/namespace/types.ts';
import type { RemovalCost } from '../gen/ringfs/v1/admin.ts';
import type { BlockNodeState } from '../gen/ringfs/v1/meta.ts';

/** Which of some blocks the block node at `address` has. Throws when it does not answer. */
export type HasCopies = (
  address: string,
  blockIds: readonly Uint8Array[],
  signal: AbortSignal,
) => Promise<readonly boolean[]>;

export interface RemovalCostComponents {
  readonly state: RowSource;
  readonly hasCopies: HasCopies;
}

const PAGE_BLOCKS = Math.min(4096, BLOCK_IDS_PER_CALL_MAX);

/**
 * What is missing of the blocks that files refer to when only `others` are there. Asks each of them for each block. Throws when one
 * does not answer, and when `signal` is aborted.
 */
export async function removalCost(
  { state, hasCopies }: RemovalCostComponents,
  others: readonly BlockNodeState[],
  replicas: number,
  signal: AbortSignal,
): Promise<RemovalCost> {
  const cost: RemovalCost = { lostBlocks: 0, lostBytes: 0, thinBlocks: 0, thinBytes: 0 };
  const taking = others.filter(takesBlocks).length;
  const wanted = Math.min(replicas, taking);
  for (let after: Uint8Array | undefined; ; ) {
    const { live, last } = await listLiveBlocks(state, after, PAGE_BLOCKS);
    signal.throwIfAborted();
    if (last === undefined) return cost;
    after = last;
    await addPage(cost, live, others, wanted, (node, ids) => hasCopies(node, ids, signal));
    signal.throwIfAborted();
  }
}

async function addPage(
  cost: RemovalCost,
  blocks: readonly LiveBlock[],
  others: readonly BlockNodeState[],
  wanted: number,
  ask: (address: string, ids: readonly Uint8Array[]) => Promise<readonly boolean[]>,
): Promise<void> {
  if (blocks.length === 0) return;
  const ids = blocks.map((block) => block.blockId);
  const answers = await Promise.all(others.map((node) => ask(node.info?.address ?? '', ids)));
  const copies = (i: number, counts: (node: BlockNodeState) => boolean): number =>
    others.filter((node, k) => answers[k]![i] === true && counts(node)).length;
  for (const [i, { length }] of blocks.entries()) {
    if (copies(i, () => true) === 0) {
      cost.lostBlocks++;
      cost.lostBytes += length;
    } else if (copies(i, takesBlocks) < wanted) {
      cost.thinBlocks++;
      cost.thinBytes += length;
    }
  }
}
