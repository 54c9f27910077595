import path from 'node:path';
import { REPLICAS_DEFAULT } from '../../base/limits.ts';
import { CliError, usageError } from '../cli-error.ts';
import { type ClusterFile, readCluster, writeCluster } from '../run-state.ts';
import { type DriverChoice, parseDriver, parseInteger, REPLICAS_MAX } from '../values.ts';

export interface UpFlags {
  readonly nodes?: string;
  readonly data: string;
  readonly mount?: string;
  readonly driver: string;
  readonly replicas?: string;
  readonly basePort?: string;
  readonly metricsBasePort?: string;
  readonly httpPort?: string;
  readonly detach?: boolean;
  readonly json?: boolean;
  readonly logLevel: string;
  readonly options?: string;
}

export interface UpOptions {
  readonly data: string;
  readonly mount: string;
  /** The default mount point is made when missing; one that the user names must exist. */
  readonly mountIsDefault: boolean;
  readonly driver: DriverChoice;
  readonly cluster: ClusterFile;
  readonly json: boolean;
  readonly logLevel: string;
  readonly mountOptions: string | undefined;
  /** Where a gateway serves HTTP; undefined: there is none. */
  readonly http: string | undefined;
  /** Where each server, in order, then the mount and then the gateway serve metrics; empty: nowhere. */
  readonly metrics: readonly string[];
}

const DEFAULT_NODES = 3;
const DEFAULT_BASE_PORT = 7400;
const HOST = '127.0.0.1';
const NODES_MAX = 99;
const PORT_MAX = 65_535;

/** Checks the flags against what the data directory says. Throws CliError. */
export function upOptions(flags: UpFlags, newClusterId: () => string): UpOptions {
  const data = path.resolve(flags.data);
  const existing = readCluster(data);
  const cluster =
    existing === undefined ? newCluster(flags, newClusterId()) : sameCluster(flags, existing, data);
  return {
    data,
    mount: path.resolve(flags.mount ?? path.join(data, 'mnt')),
    mountIsDefault: flags.mount === undefined,
    driver: parseDriver(flags.driver, '--driver'),
    cluster,
    json: flags.json === true,
    logLevel: flags.logLevel,
    mountOptions: flags.options,
    http:
      flags.httpPort === undefined
        ? undefined
        : `${HOST}:${parseInteger(flags.httpPort, '--http-port', 1, PORT_MAX)}`,
    metrics: metricsAddresses(
      flags.metricsBasePort,
      cluster.servers.length + (flags.httpPort === undefined ? 1 : 2),
    ),
  };
}

function newCluster(flags: UpFlags, clusterId: string): ClusterFile {
  const nodes = parseInteger(flags.nodes ?? String(DEFAULT_NODES), '--nodes', 1, NODES_MAX);
  const replicas = parseInteger(
    flags.replicas ?? String(Math.min(REPLICAS_DEFAULT, nodes)),
    '--replicas',
    1,
    REPLICAS_MAX,
  );
  if (replicas > nodes)
    throw usageError(`--replicas ${replicas} needs at least as many nodes; there are ${nodes}`);
  const basePort = parseInteger(
    flags.basePort ?? String(DEFAULT_BASE_PORT),
    '--base-port',
    1,
    PORT_MAX - nodes + 1,
  );
  return { format: 1, clusterId, replicas, servers: addresses(nodes, basePort) };
}

function metricsAddresses(basePort: string | undefined, processes: number): string[] {
  if (basePort === undefined) return [];
  const first = parseInteger(basePort, '--metrics-base-port', 1, PORT_MAX - processes + 1);
  return Array.from({ length: processes }, (_, i) => `${HOST}:${first + i}`);
}

function addresses(nodes: number, basePort: number): ClusterFile['servers'] {
  const list = Array.from({ length: nodes }, (_, i) => ({
    id: `s${i + 1}`,
    address: `${HOST}:${basePort + i}`,
  }));
  return list as ClusterFile['servers'];
}

function sameCluster(flags: UpFlags, existing: ClusterFile, data: string): ClusterFile {
  const nodes = existing.servers.length;
  if (flags.nodes !== undefined && parseInteger(flags.nodes, '--nodes', 1, NODES_MAX) !== nodes) {
    throw new CliError(
      `${data} holds a cluster of ${nodes} servers, not ${flags.nodes}`,
      'leave --nodes out, or use another --data directory',
    );
  }
  if (
    flags.replicas !== undefined &&
    parseInteger(flags.replicas, '--replicas', 1, REPLICAS_MAX) !== existing.replicas
  ) {
    throw new CliError(
      `${data} holds a cluster with ${existing.replicas} replicas, not ${flags.replicas}`,
      'leave --replicas out, or use another --data directory',
    );
  }
  if (flags.basePort === undefined) return existing;
  const basePort = parseInteger(flags.basePort, '--base-port', 1, PORT_MAX - nodes + 1);
  return { ...existing, servers: addresses(nodes, basePort) };
}

/** Records a new cluster, or new addresses of the old one. */
export function saveCluster(options: UpOptions): void {
  const { clusterId, replicas, servers } = options.cluster;
  writeCluster(options.data, { clusterId, replicas, servers });
}
