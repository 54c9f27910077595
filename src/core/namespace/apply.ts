import { unreachable } from '../../base/assert.ts';
import { plainBytes } from '../../base/bytes.ts';
import { Command } from '../../gen/ringfs/v1/namespace.ts';
import { registerBlockNode, setBlockNodeMode } from './block-nodes.ts';
import { initCluster } from './cluster.ts';
import { applyCommit } from './commit.ts';
import { reapOrphan } from './orphans.ts';
import { done, refused } from './outcome.ts';
import { condemnBlocks, dropBlocks, markBlocks } from './reclaim.ts';
import { expireSessions, openSession } from './sessions.ts';
import type { ApplyOutcome, Rows } from './types.ts';

export { prefetchKeys } from './prefetch.ts';

/** The command of a log entry. Bytes that are none give an empty command, which is refused when it is applied. */
export function decodeCommand(bytes: Uint8Array): Command {
  try {
    return Command.decode(plainBytes(bytes));
  } catch {
    return { body: undefined };
  }
}

/**
 * Applies the command of log entry `index`. The outcome and the rows written depend on nothing but the arguments and
 * the rows read. Throws RowNotLoaded, and nothing is written then; what the command may not do is a rejected outcome.
 */
export function applyCommand(rows: Rows, index: number, command: Command): ApplyOutcome {
  rows.begin();
  try {
    const outcome = dispatch(rows, index, command);
    rows.commit();
    return outcome;
  } catch (error) {
    rows.rollback();
    throw error;
  }
}

function dispatch(rows: Rows, index: number, { body }: Command): ApplyOutcome {
  switch (body?.$case) {
    case 'commit':
      return applyCommit(rows, index, body.value);
    case 'openSession':
      return openSession(rows, index, body.value);
    case 'expireSessions':
      return expireSessions(rows, index, body.value);
    case 'reapOrphan':
      return reapOrphan(rows, index, body.value);
    case 'registerBlockNode':
      return registerBlockNode(rows, index, body.value);
    case 'initCluster':
      return initCluster(rows, index, body.value);
    case 'condemnBlocks':
      return condemnBlocks(rows, index, body.value);
    case 'markBlocks':
      return markBlocks(rows, index, body.value);
    case 'dropBlocks':
      return dropBlocks(rows, index, body.value);
    case 'checkState':
    case 'stateVerdict':
      // The driver's, who looks at the rows as they are at this entry.
      return done(index);
    case 'setBlockNodeMode':
      return setBlockNodeMode(rows, index, body.value);
    case undefined:
      return refused(index, 'EINVAL', 'not a command');
    default:
      return unreachable(body);
  }
}
