import { listxattr } from '../../core/namespace/read.ts';
import type { ListXattrReply, ListXattrRequest } from '../../gen/ringfs/v1/meta.ts';
import type { ReadContext } from '../context.ts';
import { plainRead } from '../leased-read.ts';

/** Not leased: clients do not cache names. Throws FsError ESTALE. */
export function listXattr(ctx: ReadContext, { ino }: ListXattrRequest): Promise<ListXattrReply> {
  return plainRead(ctx, [ino], async () => ({ names: await listxattr(ctx.replica.state, ino) }));
}
