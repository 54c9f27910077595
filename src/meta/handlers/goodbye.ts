import type { GoodbyeReply } from '../../gen/ringfs/v1/meta.ts';
import type { SessionContext } from '../context.ts';

/**
 * Ends the session now instead of after SESSION_TTL_MS of silence: what it unlinked can be reaped, and the next leader
 * does not wait for its leases. Throws what propose throws.
 */
export async function goodbye({ lead, session }: SessionContext): Promise<GoodbyeReply> {
  await lead.sessions.end(session);
  return {};
}
