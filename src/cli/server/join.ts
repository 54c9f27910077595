import type { ServerStatus } from '../../gen/ringfs/v1/admin.ts';
import { fetchServerStatus } from '../../io/grpc/admin-client.ts';
import { CliError } from '../cli-error.ts';

const ASK_TIMEOUT_MS = 3_000;

export type FetchStatus = (address: string, timeoutMs: number) => Promise<ServerStatus>;

/**
 * The cluster that a new server is about to join, by asking `contacts`. Throws CliError when nobody answers, or when `id` is taken: a
 * voter that comes back without its data has forgotten its votes, and what it acknowledged could be lost.
 */
export async function clusterToJoin(
  id: string,
  contacts: readonly string[],
  fetchStatus: FetchStatus = fetchServerStatus,
): Promise<string> {
  const answers = await Promise.allSettled(contacts.map((address) => fetchStatus(address, ASK_TIMEOUT_MS)));
  const statuses = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
  const first = statuses[0];
  if (first === undefined) {
    const reasons = answers.flatMap((a) => (a.status === 'rejected' ? [(a.reason as Error).message] : []));
    throw new CliError(
      `no server of --join answers (${reasons.join('; ')})`,
      'name servers of the cluster that are running, as host:port[,host:port...]',
    );
  }
  const other = statuses.find((status) => status.clusterId !== first.clusterId);
  if (other !== undefined) {
    throw new CliError(
      `--join names servers of two clusters: '${first.clusterId}' (${first.address}) and '${other.clusterId}' (${other.address})`,
    );
  }
  if (statuses.some((status) => status.raft?.voters.includes(id) === true)) throw taken(id);
  if (statuses.some((status) => status.raft?.learners.includes(id) === true)) {
    await refuseWhoHasLearned(id, statuses, fetchStatus);
  }
  return first.clusterId;
}

function taken(id: string): CliError {
  return new CliError(
    `the cluster has a member ${id} already, and this data directory is empty`,
    `start that server with its own data; if that is lost, remove it first (ringfs cluster remove ${id}), then start this one again`,
  );
}

/** A member may be added before it is started. But the leader would never send again what it knows that a member has. */
async function refuseWhoHasLearned(
  id: string,
  statuses: readonly ServerStatus[],
  fetchStatus: FetchStatus,
): Promise<void> {
  const known = [...statuses].sort((a, b) => (b.raft?.term ?? 0) - (a.raft?.term ?? 0));
  const leaderId = known.find((status) => status.raft?.leaderId)?.raft?.leaderId;
  const address = known
    .flatMap((status) => status.metaMembers)
    .find((member) => member.id === leaderId)?.address;
  const leader =
    known.find((status) => status.raft?.role === 'leader') ??
    (address === undefined ? undefined : await fetchStatus(address, ASK_TIMEOUT_MS).catch(() => undefined));
  const progress = leader?.raft?.peers.find((peer) => peer.id === id);
  if (leader?.raft?.role !== 'leader' || progress === undefined) {
    throw new CliError(
      `${id} is being added to the cluster, and its leader, which knows whether it has been there before, does not answer`,
      'start it again when the cluster has a leader: ringfs cluster list',
    );
  }
  if (progress.matchIndex > 0) throw taken(id);
}
