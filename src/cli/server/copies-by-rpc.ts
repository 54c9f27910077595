import { BLOCK_CALL_TIMEOUT_MS } from '../../base/limits.ts';
import type { BlockConnections } from '../../client/connections.ts';
import type { DeleteCopies } from '../../meta/garbage-collector.ts';
import type { HasCopies } from '../../meta/removal-cost.ts';

/** What the metadata leader has block nodes do. */

/** Has a block node delete copies. */
export function deletesBy(blockNodes: BlockConnections): DeleteCopies {
  return async (address, blockIds, before, signal) => {
    const value = { blockIds: [...blockIds], before };
    const options = { timeoutMs: BLOCK_CALL_TIMEOUT_MS, signal };
    const reply = await blockNodes.call(address, { $case: 'delete', value }, options);
    if (reply.$case === 'error') throw new Error(`${address}: ${reply.value.message}`);
  };
}

/** Asks a block node which blocks it has. */
export function asksBy(blockNodes: BlockConnections): HasCopies {
  return async (address, blockIds, signal) => {
    const options = { timeoutMs: BLOCK_CALL_TIMEOUT_MS, signal };
    const reply = await blockNodes.call(
      address,
      { $case: 'has', value: { blockIds: [...blockIds] } },
      options,
    );
    if (reply.$case === 'error') throw new Error(`${address}: ${reply.value.message}`);
    if (reply.$case !== 'has') throw new Error(`${address} answered with ${reply.$case}`);
    return reply.value.present;
  };
}
