import type { ReadPoint } from '../../gen/ringfs/v1/meta.ts';
import type { LeaderContext } from '../context.ts';

/**
 * How a follower may answer reads that it was asked before it asked this: with a state that has `index`, and with nothing
 * beyond `settled`, since what a later commit did may be unknown to a client that has its recall before it.
 */
export async function readPoint({ lead, replica }: LeaderContext): Promise<ReadPoint> {
  await replica.readBarrier();
  lead.check();
  const index = replica.appliedIndex();
  const settled = Math.max(index, lead.noticedIndex);
  await lead.leases.allSettled(NOBODY);
  lead.check();
  return { index, settled };
}

/** No session has this number: everybody's recalls are waited for. */
const NOBODY = 0;
