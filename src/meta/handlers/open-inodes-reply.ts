import type { OpenInodesReply } from '../../gen/ringfs/v1/meta.ts';
import type { SessionContext } from '../context.ts';

/** Which of the unlinked inodes it was asked about the client has open. */
export function openInodesReply({ lead, session }: SessionContext, reply: OpenInodesReply): void {
  lead.reaper.onReply(session, reply.queryId, reply.open);
}
