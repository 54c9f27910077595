import { getxattr } from '../../core/namespace/read.ts';
import type { GetXattrReply, GetXattrRequest } from '../../gen/ringfs/v1/meta.ts';
import type { ReadContext } from '../context.ts';
import { plainRead } from '../leased-read.ts';

/** Not leased: clients do not cache values. Throws FsError ENODATA, ESTALE. */
export function getXattr(ctx: ReadContext, { ino, name }: GetXattrRequest): Promise<GetXattrReply> {
  return plainRead(ctx, [ino], async () => ({ value: await getxattr(ctx.replica.state, ino, name) }));
}
