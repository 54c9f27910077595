import { getattr } from '../../core/namespace/read.ts';
import type { GetAttrReply, GetAttrRequest } from '../../gen/ringfs/v1/meta.ts';
import type { ReadContext } from '../context.ts';
import { leasedRead } from '../leased-read.ts';

/** Leases the inode. Throws FsError ESTALE. */
export function getAttr(ctx: ReadContext, { ino }: GetAttrRequest): Promise<GetAttrReply> {
  return leasedRead(ctx, [ino], async () => {
    const attr = await getattr(ctx.replica.state, ino);
    return { reply: { attr, leased: false }, inos: [ino] };
  });
}
