import type { ServerStatus } from '../gen/ringfs/v1/admin.ts';
import { fetchServerStatus } from '../io/grpc/admin-client.ts';
import { CliError } from './cli-error.ts';

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
  if (statuses.some((status) => status.raft?.voters.includes(id) === true)) {
    throw new CliError(
      `the cluster has a member ${id} already, and this data directory is empty`,
      `start that server with its own data; if that is lost, remove it first (ringfs cluster remove ${id}), then start this one again`,
    );
  }
  return first.clusterId;
}
