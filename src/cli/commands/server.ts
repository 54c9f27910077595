import { createLogger } from '../../io/log/pino-logger.ts';
import type { Logger } from '../../ports/logger.ts';
import { CliError, usageError } from '../cli-error.ts';
import { FAILPOINT_VARIABLE, parseFailpoint } from '../failpoint.ts';
import { StartStoppedError } from '../first-start.ts';
import { hasMemory, isUnused, storedIdentity } from '../identity.ts';
import { clusterToJoin, type FetchStatus } from '../join.ts';
import { listenForMetrics } from '../metrics-listener.ts';
import { reportToParent } from '../ringfs-child.ts';
import { type ServerOptions, ServerProcess } from '../server-process.ts';
import type { Values } from '../settings.ts';
import type { SERVER_SETTINGS } from './server-settings.ts';

type ServerValues = Values<typeof SERVER_SETTINGS>;

function required<T>(value: T | undefined, name: string): T {
  if (value !== undefined) return value;
  throw usageError(
    `--${name} is missing`,
    'ringfs server --help shows every setting, its variable and its config key',
  );
}

/** What `values` mean, with the identity that the data directory has already. Throws CliError. */
export async function optionsOf(
  values: ServerValues,
  version: string,
  fetchStatus?: FetchStatus,
): Promise<ServerOptions> {
  const id = required(values.id, 'id');
  const listen = required(values.listen, 'listen');
  const data = required(values.data, 'data');
  const { join } = values;
  const peers = join === undefined ? required(values.peers, 'peers') : [];
  if (join !== undefined && values.peers !== undefined) {
    throw usageError(
      '--peers begins a new cluster and --join joins one that exists',
      'give only one of them',
    );
  }
  const self = peers.find((peer) => peer.id === id);
  if (join === undefined && values.roles.includes('meta') && self === undefined) {
    throw usageError(
      `--peers does not name this server, ${id}`,
      `add ${id}=HOST:PORT; every meta server is given the same --peers`,
    );
  }
  const found = storedIdentity(data);
  const stored =
    values.clusterId ?? (found !== undefined && !isUnused(data, found) ? found.clusterId : undefined);
  // Also when the directory says where it belongs: its metadata may be gone, and a member must not come back without.
  const asks =
    join !== undefined &&
    (stored === undefined || (values.roles.includes('meta') && !hasMemory(data, found)));
  const joined = asks ? await clusterToJoin(id, join, fetchStatus) : undefined;
  if (joined !== undefined && stored !== undefined && joined !== stored) {
    throw new CliError(
      `--join names servers of the cluster '${joined}', and this server is one of '${stored}'`,
      'correct --join, --cluster-id or --data',
    );
  }
  return {
    id,
    roles: values.roles,
    listen,
    advertise: values.advertise ?? self?.address ?? listen,
    data,
    peers,
    contacts: join ?? peers.map((peer) => peer.address),
    clusterId: stored ?? joined ?? defaultClusterId(peers),
    replicas: values.replicas,
    capacityBytes: values.capacity,
    virtualNodes: values.virtualNodes,
    domain: values.domain,
    gcGraceMs: values.gcGrace * 1000,
    scrubIntervalMs: values.scrubInterval * 1000,
    scrubBytesPerSecond: values.scrubRate,
    version,
  };
}

/** The same --peers on every server make the same cluster. Only for a new one: its servers may move to other addresses. */
function defaultClusterId(peers: readonly { id: string; address: string }[]): string {
  return peers
    .map((peer) => `${peer.id}=${peer.address}`)
    .sort()
    .join(',');
}

/** Runs one server until `stopSignal` resolves. Throws CliError. */
export async function runServer(
  values: ServerValues,
  version: string,
  stopSignal: Promise<string>,
): Promise<void> {
  const failpoint = parseFailpoint(process.env[FAILPOINT_VARIABLE]);
  const options = {
    ...(await optionsOf(values, version)),
    ...(failpoint === undefined ? {} : { failpoint }),
  };
  const logger = createLogger({
    level: values.logLevel,
    format: values.logFormat,
    base: { server: options.id, pid: process.pid },
  });
  const metrics = await listenForMetrics(values.metricsListen, logger);
  try {
    const server = await startServer(options, logger, stopSignal);
    if (server === undefined) return;
    metrics?.serve(server);
    tellReady(options);
    await serveUntil(server, stopSignal, { id: options.id, logger });
  } finally {
    metrics?.close();
  }
}

/** Undefined when it was told to stop before the cluster was formed. Throws CliError. */
async function startServer(
  options: ServerOptions,
  logger: Logger,
  stopSignal: Promise<string>,
): Promise<ServerProcess | undefined> {
  const server = new ServerProcess(options, logger);
  // What else a start does comes to an end by itself.
  void stopSignal.then(() => server.stopWaiting());
  try {
    await server.start();
  } catch (error) {
    const stopped = error instanceof StartStoppedError;
    if (stopped) logger.info({}, 'stopping before the cluster is formed');
    else logger.error({ err: error }, 'the server could not start');
    await server.stop().catch((reason: unknown) => {
      logger.error({ err: reason }, 'what had been started could not be stopped');
    });
    if (stopped) return undefined;
    throw error instanceof CliError
      ? error
      : new CliError(`server ${options.id}: ${(error as Error).message}`);
  }
  const { advertise, roles, version } = options;
  logger.info({ address: advertise, roles, version }, 'serving');
  return server;
}

function tellReady(options: ServerOptions): void {
  // For people and scripts; under a supervisor, standard output is the log.
  if (process.send === undefined) {
    const { id, listen, roles } = options;
    process.stdout.write(`ready: server ${id} (${roles.join(', ')}) listens on ${listen}\n`);
  }
  reportToParent({ ready: { address: options.advertise } });
}

/** Stops `server` when it is told to, or when it fails: then throws CliError, so that whoever supervises it starts it again. */
export async function serveUntil(
  server: Pick<ServerProcess, 'failed' | 'stop'>,
  stopSignal: Promise<string>,
  { id, logger }: { readonly id: string; readonly logger: Logger },
): Promise<void> {
  const end = await Promise.race([
    stopSignal.then((reason) => ({ reason, failed: false })),
    server.failed.then((reason) => ({ reason, failed: true })),
  ]);
  const { reason } = end;
  if (!end.failed) {
    logger.info({ reason }, 'stopping');
    await server.stop();
    return;
  }
  logger.fatal({ reason }, 'this server cannot go on and ends');
  try {
    await server.stop();
  } catch (error) {
    logger.error({ err: error }, 'the server did not stop cleanly');
  }
  throw new CliError(`server ${id}: ${reason}`);
}
