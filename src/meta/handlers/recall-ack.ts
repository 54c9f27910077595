import type { RecallAck } from '../../gen/ringfs/v1/meta.ts';
import type { SessionContext } from '../context.ts';

/** The client has dropped what it was told to drop. */
export function recallAck({ lead, session }: SessionContext, ack: RecallAck): void {
  if (session.holder !== undefined) lead.leases.acknowledge(session.holder, ack.recallId);
}
