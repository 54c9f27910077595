import { randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { checkMountPoint, unmountDead } from '../../../mount/mount-point.ts';
import { fetchServerStatus } from '../../io/grpc/admin-client.ts';
import { SystemTimers } from '../../io/os/system-timers.ts';
import type { Logger } from '../../ports/logger.ts';
import { CliError } from '../cli-error.ts';
import { isPortFree } from '../processes.ts';
import { reportToParent } from '../ringfs-child.ts';
import { readRun, removeRun, runningProcesses, writeRun } from '../run-state.ts';
import { type ChildSpec, SupervisedChild } from '../supervisor.ts';
import { unmountStale } from './umount.ts';
import { saveCluster, type UpFlags, type UpOptions, upOptions } from './up-options.ts';

const SERVER_READY_TIMEOUT_MS = 60_000;
const MOUNT_READY_TIMEOUT_MS = 60_000;
const SERVER_STOP_TIMEOUT_MS = 15_000;
const MOUNT_STOP_TIMEOUT_MS = 60_000;
const GATEWAY_STOP_TIMEOUT_MS = 30_000;
const STATUS_TIMEOUT_MS = 2_000;
const POLL_MS = 50;

/** A local cluster, its mount, and its gateway if there is one, until a signal. */
class LocalCluster {
  readonly #options: UpOptions;
  readonly #logger: Logger;
  readonly #servers: SupervisedChild[];
  readonly #mount: SupervisedChild;
  readonly #gateway: SupervisedChild | undefined;
  #driver: string;
  #stopping = false;

  constructor(options: UpOptions, logger: Logger) {
    this.#options = options;
    this.#logger = logger;
    this.#driver = options.driver;
    const components = { logger, timers: new SystemTimers() };
    const save = (): void => this.#saveRun();
    this.#servers = options.cluster.servers.map(
      (server, i) => new SupervisedChild(components, serverSpec(options, server, options.metrics[i]), save),
    );
    this.#mount = new SupervisedChild(components, mountSpec(options), save);
    const { http } = options;
    if (http !== undefined) this.#gateway = new SupervisedChild(components, gatewaySpec(options, http), save);
  }

  /** Resolves with the line to print. Rejects with CliError, also when it is stopped meanwhile. */
  async start(): Promise<string> {
    const starting = this.#servers.map((server) => server.start());
    this.#saveRun();
    await Promise.all(starting);
    await this.#untilUsable();
    const mounting = this.#mount.start();
    const serving = this.#gateway?.start();
    this.#saveRun();
    const [{ driver }] = await Promise.all([mounting, serving]);
    if (typeof driver === 'string') this.#driver = driver;
    this.#saveRun();
    return this.#readyLine();
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all([
      this.#mount.stop('SIGTERM', MOUNT_STOP_TIMEOUT_MS),
      this.#gateway?.stop('SIGTERM', GATEWAY_STOP_TIMEOUT_MS),
    ]);
    await unmountStale(this.#options.mount);
    await Promise.all(this.#servers.map((server) => server.stop('SIGTERM', SERVER_STOP_TIMEOUT_MS)));
    removeRun(this.#options.data);
    this.#logger.info({ data: this.#options.data }, 'stopped');
  }

  /** Waits until there is a leader and every block node knows the whole ring, so that nothing is stored in fewer copies. */
  async #untilUsable(): Promise<void> {
    const addresses = this.#options.cluster.servers.map((server) => server.address);
    const end = performance.now() + SERVER_READY_TIMEOUT_MS;
    while (!(await isUsable(addresses))) {
      if (this.#stopping) throw new CliError('stopped before the servers had found each other');
      if (performance.now() > end) {
        throw new CliError(
          'the servers run, but have not found each other',
          `their logs say why: ${path.join(this.#options.data, 'logs')}`,
        );
      }
      await sleep(POLL_MS);
    }
  }

  #saveRun(): void {
    if (this.#stopping) return;
    const { data, mount, cluster } = this.#options;
    const servers = cluster.servers.map((server, i) => ({ ...server, pid: this.#servers[i]?.pid ?? 0 }));
    const gateway = this.#gateway && { gatewayPid: this.#gateway.pid };
    const { pid } = this.#mount;
    writeRun(data, { pid: process.pid, mount, mountPid: pid, driver: this.#driver, servers, ...gateway });
  }

  #readyLine(): string {
    const { mount, cluster, json, data, http } = this.#options;
    const addresses = cluster.servers.map((server) => server.address).join(',');
    if (json) {
      return `ready ${JSON.stringify({ mount, driver: this.#driver, data, servers: cluster.servers, replicas: cluster.replicas, ...(http === undefined ? {} : { http }) })}`;
    }
    const web = http === undefined ? '' : `, http://${http}`;
    return `ready: ${mount} is a RingFS of ${cluster.servers.length} servers (${addresses}), ${cluster.replicas} replicas, driver ${this.#driver}${web}`;
  }
}

const metricsFlag = (address: string | undefined): string[] =>
  address === undefined ? [] : ['--metrics-listen', address];

function serverSpec(
  options: UpOptions,
  server: { id: string; address: string },
  metrics: string | undefined,
): ChildSpec {
  const { cluster, data, logLevel } = options;
  const peers = cluster.servers.map((peer) => `${peer.id}=${peer.address}`).join(',');
  return {
    name: `server ${server.id}`,
    args: [
      ...['server', '--id', server.id, '--roles', 'meta,block', '--listen', server.address, '--peers', peers],
      ...[
        '--data',
        path.join(data, server.id),
        '--cluster-id',
        cluster.clusterId,
        '--replicas',
        String(cluster.replicas),
      ],
      ...['--log-level', logLevel, '--log-format', 'json'],
      ...metricsFlag(metrics),
    ],
    logFile: path.join(data, 'logs', `${server.id}.log`),
    readyTimeoutMs: SERVER_READY_TIMEOUT_MS,
  };
}

function mountSpec(options: UpOptions): ChildSpec {
  const { cluster, data, mount, driver, logLevel, mountOptions } = options;
  const addresses = cluster.servers.map((server) => server.address).join(',');
  const settings = [
    `driver=${driver}`,
    `log_level=${logLevel}`,
    'log_format=json',
    ...(mountOptions === undefined ? [] : [mountOptions]),
  ];
  return {
    name: `mount ${mount}`,
    args: [
      ...['mount', addresses, mount, '--foreground', '-o', settings.join(',')],
      ...metricsFlag(options.metrics[cluster.servers.length]),
    ],
    logFile: path.join(data, 'logs', 'mount.log'),
    readyTimeoutMs: MOUNT_READY_TIMEOUT_MS,
    beforeRestart: () => unmountStale(mount),
    release: () => unmountStale(mount),
  };
}

function gatewaySpec(options: UpOptions, http: string): ChildSpec {
  const { cluster, data, logLevel } = options;
  const addresses = cluster.servers.map((server) => server.address).join(',');
  return {
    name: 'gateway',
    args: [
      ...['server', '--id', 'gateway', '--roles', 'gateway', '--servers', addresses, '--http-listen', http],
      ...['--log-level', logLevel, '--log-format', 'json'],
      ...metricsFlag(options.metrics[cluster.servers.length + 1]),
    ],
    logFile: path.join(data, 'logs', 'gateway.log'),
    readyTimeoutMs: MOUNT_READY_TIMEOUT_MS,
  };
}

async function isUsable(addresses: readonly string[]): Promise<boolean> {
  const answers = await Promise.allSettled(
    addresses.map((address) => fetchServerStatus(address, STATUS_TIMEOUT_MS)),
  );
  return answers.every((answer) => {
    if (answer.status === 'rejected') return false;
    const { raft, block } = answer.value;
    const nodes = new Set(block?.ring.map((member) => member.nodeId));
    return (
      raft !== undefined && raft.leaderId !== '' && block?.joined === true && nodes.size === addresses.length
    );
  });
}

/** Everything that can be known to fail is found before anything is started. */
async function checkBeforeStart(options: UpOptions): Promise<void> {
  const { data, mount, cluster } = options;
  const run = readRun(data);
  if (run !== undefined) {
    const pids = runningProcesses(run);
    if (pids.length > 0) {
      throw new CliError(
        `${data} is in use by running processes (${pids.join(', ')})`,
        `stop them with: ringfs down --data ${data}`,
      );
    }
    await unmountStale(run.mount);
  }
  await unmountDead(mount);
  if (options.mountIsDefault) mkdirSync(mount, { recursive: true });
  await checkMountPoint(mount);
  for (const { id, address } of cluster.servers) await checkPort(address, `server ${id}`, '--base-port');
  if (options.http !== undefined) await checkPort(options.http, 'the gateway', '--http-port');
  for (const address of options.metrics) await checkPort(address, 'metrics', '--metrics-base-port');
}

async function checkPort(address: string, user: string, flag: string): Promise<void> {
  const at = address.lastIndexOf(':');
  if (await isPortFree(address.slice(0, at), Number(address.slice(at + 1)))) return;
  throw new CliError(
    `port ${address.slice(at + 1)} for ${user} is in use`,
    `stop what listens there, or choose other ports with ${flag}`,
  );
}

/** Runs until `stopSignal` resolves. */
export async function runUp(flags: UpFlags, logger: Logger, stopSignal: Promise<string>): Promise<void> {
  const options = upOptions(flags, randomUUID);
  await checkBeforeStart(options);
  saveCluster(options);
  const cluster = new LocalCluster(options, logger);
  try {
    const stopped = stopSignal.then((signal) => {
      throw new CliError(`stopped by ${signal} before it was ready`);
    });
    const line = await Promise.race([cluster.start(), stopped]);
    process.stdout.write(`${line}\n`);
    reportToParent({ ready: { line } });
    await stopSignal;
  } finally {
    await cluster.stop();
  }
}
