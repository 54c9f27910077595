import { createLogger } from '../../io/log/pino-logger.ts';
import type { Logger } from '../../ports/logger.ts';
import type { MetricsSource } from '../../ports/metrics.ts';
import { CliError, usageError } from '../cli-error.ts';
import type { GatewayProcess, GatewayProcessOptions } from '../gateway-process.ts';
import { listenForMetrics } from '../metrics-listener.ts';
import { reportToParent } from '../ringfs-child.ts';
import { FAILPOINT_VARIABLE, parseFailpoint } from '../server/failpoint.ts';
import { StartStoppedError } from '../server/first-start.ts';
import { hasMemory, isUnused, storedIdentity } from '../server/identity.ts';
import { clusterToJoin, type FetchStatus } from '../server/join.ts';
import type { ServerOptions } from '../server/server-options.ts';
import { ServerProcess } from '../server/server-process.ts';
import type { Values } from '../settings.ts';
import type { Role } from '../values.ts';
import { gatewayOptionsOf } from './gateway-options.ts';
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

/** Runs the roles of one process until `stopSignal` resolves. Throws CliError. */
export async function runServer(
  values: ServerValues,
  version: string,
  stopSignal: Promise<string>,
): Promise<void> {
  const failpoint = parseFailpoint(process.env[FAILPOINT_VARIABLE]);
  const isServer = values.roles.some((role) => role !== 'gateway');
  const options = isServer
    ? { ...(await optionsOf(values, version)), ...(failpoint === undefined ? {} : { failpoint }) }
    : undefined;
  const gatewayOptions = gatewayOptionsOf(values, version, options);
  const id = required(values.id, 'id');
  const logger = createLogger({
    level: values.logLevel,
    format: values.logFormat,
    base: { server: id, pid: process.pid },
  });
  const metrics = await listenForMetrics(values.metricsListen, logger);
  try {
    const server = options && (await startServer(options, logger, stopSignal));
    if (options !== undefined && server === undefined) return;
    const gateway = gatewayOptions && (await startGateway(gatewayOptions, logger, stopSignal, server));
    if (gatewayOptions !== undefined && gateway === undefined) return;
    const parts = [server, gateway].filter(isDefined);
    metrics?.serve(togetherOf(parts));
    tellReady(id, values.roles, options, gatewayOptions);
    const failed = server?.failed ?? new Promise<never>(() => undefined);
    await serveUntil({ failed, stop: () => stopAll(parts) }, stopSignal, { id, logger });
  } finally {
    metrics?.close();
  }
}

const isDefined = <T>(value: T | undefined): value is T => value !== undefined;

interface Part extends MetricsSource {
  stop(): Promise<void>;
}

/** In the reverse order of their starts: requests of the gateway may need the server beside it. */
async function stopAll(parts: readonly Part[]): Promise<void> {
  for (const part of [...parts].reverse()) await part.stop();
}

/** What the roles of one process say together: they are well when each is. */
const togetherOf = (parts: readonly Part[]): MetricsSource => ({
  metrics: async () => (await Promise.all(parts.map((part) => part.metrics()))).flat(),
  health: async () => {
    const all = await Promise.all(parts.map((part) => part.health()));
    return all.find(({ status }) => status !== 'ok') ?? { status: 'ok', detail: '' };
  },
});

/** Undefined when it was told to stop before it found the cluster. If it does not start, `server` is stopped. Throws CliError. */
async function startGateway(
  options: GatewayProcessOptions,
  logger: Logger,
  stopSignal: Promise<string>,
  server: ServerProcess | undefined,
): Promise<GatewayProcess | undefined> {
  // Half of what a server would load is the gateway's, which few have.
  const module = await import('../gateway-process.ts');
  const gateway = new module.GatewayProcess(options, logger);
  void stopSignal.then(() => gateway.stopWaiting());
  try {
    await gateway.start();
  } catch (error) {
    const stopped = error instanceof StartStoppedError;
    if (stopped) logger.info({}, 'stopping before the cluster is found');
    else logger.error({ err: error }, 'the gateway could not start');
    await stopAll([server, gateway].filter(isDefined));
    if (stopped) return undefined;
    throw error;
  }
  const { listen, addresses, version } = options;
  logger.info({ listen, servers: addresses, version }, 'serving HTTP');
  return gateway;
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

function tellReady(
  id: string,
  roles: readonly Role[],
  server: ServerOptions | undefined,
  gateway: GatewayProcessOptions | undefined,
): void {
  // For people and scripts; under a supervisor, standard output is the log.
  if (process.send === undefined) {
    const does = [
      ...(server === undefined ? [] : [`listens on ${server.listen}`]),
      ...(gateway === undefined ? [] : [`serves http://${gateway.listen}`]),
    ];
    process.stdout.write(`ready: server ${id} (${roles.join(', ')}) ${does.join(' and ')}\n`);
  }
  reportToParent({ ready: { address: server?.advertise ?? gateway?.listen } });
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
