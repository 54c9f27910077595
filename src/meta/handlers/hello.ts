import { errnoName, FsError } from '../../base/errno.ts';
import {
  CLIENT_NAME_BYTES_MAX,
  LEASE_TTL_MS,
  SESSION_NONCE_BYTES,
  SESSION_TTL_MS,
  SESSIONS_MAX,
} from '../../base/limits.ts';
import type { Hello, HelloReply } from '../../gen/ringfs/v1/meta.ts';
import type { ClusterRow } from '../../gen/ringfs/v1/rows.ts';
import { clusterTime, type LeaderContext, type ServerContext } from '../context.ts';
import { proposeCommand } from '../propose.ts';
import { sessionExists } from '../session-rows.ts';

/** Throws FsError EINVAL when the client means another cluster. */
export function checkCluster(hello: Hello, cluster: ClusterRow | undefined): void {
  if (hello.clusterId === '' || cluster === undefined || hello.clusterId === cluster.clusterId) return;
  throw new FsError('EINVAL', `this is cluster ${cluster.clusterId}, not ${hello.clusterId}`);
}

export function helloReply(ctx: ServerContext, session: number, cluster: ClusterRow | undefined): HelloReply {
  return {
    session,
    clusterId: cluster?.clusterId ?? '',
    time: clusterTime(ctx.timers),
    sessionTtlMs: SESSION_TTL_MS,
    leaseTtlMs: LEASE_TTL_MS,
    replicas: cluster?.replicas ?? 0,
    appliedIndex: ctx.replica.appliedIndex(),
  };
}

/**
 * The session that a hello asks for, opened or found; the caller attaches it at once, without another await. Throws FsError
 * ESTALE for a session that does not exist any more, EAGAIN, ENFILE, EINVAL, and what propose throws.
 */
export async function sessionOf(ctx: LeaderContext, hello: Hello): Promise<number> {
  const { lead, replica } = ctx;
  if (hello.session === 0) {
    const id = await openSession(ctx, hello);
    lead.check();
    return id;
  }
  await replica.readBarrier();
  const exists = await sessionExists(replica.state, hello.session);
  lead.check();
  if (!exists) throw unknownSession(hello.session);
  const known = lead.sessions.get(hello.session);
  if (known?.expiring === true) throw new FsError('EAGAIN', 'the session is being expired');
  if (known === undefined) {
    // Expired since, or never attached here. What is not in the table is not being expired, so this answer holds.
    const still = await sessionExists(replica.state, hello.session);
    lead.check();
    if (!still) throw unknownSession(hello.session);
  }
  return hello.session;
}

/** The nonce makes a retry find the session that the first try opened. */
async function openSession(ctx: LeaderContext, hello: Hello): Promise<number> {
  if (hello.nonce.length !== SESSION_NONCE_BYTES) {
    throw new FsError('EINVAL', `a nonce has ${SESSION_NONCE_BYTES} bytes`);
  }
  if (hello.client.length > CLIENT_NAME_BYTES_MAX) throw new FsError('EINVAL', 'client name is too long');
  if (ctx.lead.sessions.size >= SESSIONS_MAX)
    throw new FsError('ENFILE', `${SESSIONS_MAX} sessions are open`);
  const { outcome } = await proposeCommand(ctx.replica, {
    $case: 'openSession',
    value: { nonce: hello.nonce, client: hello.client, time: clusterTime(ctx.timers) },
  });
  const body = outcome.result.body;
  if (body?.$case === 'rejected') throw new FsError(errnoName(body.value.errno), body.value.detail);
  return outcome.value;
}

function unknownSession(id: number): FsError {
  return new FsError('ESTALE', `session ${id} has expired or never existed`);
}
