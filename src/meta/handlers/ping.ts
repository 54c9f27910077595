import type { PingReply } from '../../gen/ringfs/v1/meta.ts';
import { clusterTime, type ServerContext, type SessionContext } from '../context.ts';

/** Keeps the session alive and, while no other leader can exist, its cache valid for another LEASE_TTL_MS. */
export function pingSession(ctx: SessionContext): PingReply {
  const { lead, session, replica, timers } = ctx;
  const leaseValid =
    lead.active &&
    replica.isLeader() &&
    replica.leaseValid() &&
    session.holder !== undefined &&
    session.link !== undefined &&
    !session.expiring;
  if (leaseValid && session.holder !== undefined) lead.leases.grant(session.holder);
  return { time: clusterTime(timers), leaseValid, appliedIndex: replica.appliedIndex() };
}

/** An observer caches nothing. Any member answers. */
export function pingObserver(ctx: ServerContext): PingReply {
  return { time: clusterTime(ctx.timers), leaseValid: false };
}
