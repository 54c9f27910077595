import { lookup as readLookup } from '../../core/namespace/read.ts';
import type { LookupReply, LookupRequest } from '../../gen/ringfs/v1/meta.ts';
import type { ReadContext } from '../context.ts';
import { leasedRead } from '../leased-read.ts';

/** Leases the directory, and the inode when there is one. Throws FsError ESTALE, ENOTDIR. */
export function lookup(ctx: ReadContext, request: LookupRequest): Promise<LookupReply> {
  const { parent, name } = request;
  return leasedRead(ctx, [parent], async () => {
    const { attr, parentAttr } = await readLookup(ctx.replica.state, parent, name);
    return {
      reply: { found: attr !== undefined, attr, parentAttr, leased: false },
      inos: attr === undefined ? [parent] : [parent, attr.ino],
    };
  });
}
