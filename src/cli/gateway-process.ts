import { hostname } from 'node:os';
import { GATEWAY_DOWNLOADS_MAX, GATEWAY_HEALTH_TIMEOUT_MS, GATEWAY_UPLOADS_MAX } from '../base/limits.ts';
import { Gateway } from '../gateway/gateway.ts';
import { gatewayMetrics } from '../gateway/gateway-metrics.ts';
import { HttpServer } from '../io/http/http-server.ts';
import { SystemTimers } from '../io/os/system-timers.ts';
import type { Logger } from '../ports/logger.ts';
import type { Health, MetricFamily, MetricsSource } from '../ports/metrics.ts';
import { CliError } from './cli-error.ts';
import { clusterReport } from './cluster-report.ts';
import { gatewayAssets } from './gateway-assets.ts';
import { listenReason } from './listen-reasons.ts';
import { StartStoppedError } from './server/first-start.ts';
import { NoServersError, TreeClient } from './tree-client.ts';

export interface GatewayProcessOptions {
  readonly id: string;
  readonly version: string;
  /** host:port of meta servers. */
  readonly addresses: readonly string[];
  readonly listen: string;
  readonly uid: number;
  readonly gid: number;
  readonly hosts: readonly string[];
  readonly cacheBytes: number;
  readonly timeoutMs: number;
  /** The process is nothing else: without a cluster it ends. Beside a server it goes on looking, since the server must not end. */
  readonly alone: boolean;
}

/** The composition of a gateway with the adapters of this machine. */
export class GatewayProcess implements MetricsSource {
  readonly #options: GatewayProcessOptions;
  readonly #logger: Logger;
  readonly #timers = new SystemTimers();
  readonly #gateway: Gateway;
  readonly #http: HttpServer;
  readonly #stopping = new AbortController();
  #client: TreeClient | undefined;
  #connecting: Promise<void> | undefined;

  constructor(options: GatewayProcessOptions, logger: Logger) {
    this.#options = options;
    this.#logger = logger;
    const { addresses, uid, gid, hosts } = options;
    const targets = addresses.map((address) => ({ id: address, address }));
    this.#gateway = new Gateway(
      { logger, cluster: () => clusterReport(targets), health: () => this.health() },
      {
        uid,
        gid,
        hosts,
        uploadsMax: GATEWAY_UPLOADS_MAX,
        downloadsMax: GATEWAY_DOWNLOADS_MAX,
        assets: gatewayAssets(),
      },
    );
    this.#http = new HttpServer({ logger, timers: this.#timers }, this.#gateway);
  }

  /** Listens; alone, resolves when the cluster was found. Throws CliError, StartStoppedError. */
  async start(): Promise<void> {
    const { listen, alone } = this.#options;
    try {
      await this.#http.listen(listen);
    } catch (error) {
      throw new CliError(
        `cannot listen on ${listen} for HTTP: ${listenReason(error)}`,
        'choose another with --http-listen',
      );
    }
    this.#connecting = this.#connect();
    if (!alone) return;
    await this.#connecting;
    if (this.#client === undefined) throw new StartStoppedError();
  }

  async #connect(): Promise<void> {
    const { id, addresses, cacheBytes, timeoutMs, alone } = this.#options;
    const clientName = `${hostname()}:${process.pid}:gateway ${id}`;
    const components = { timers: this.#timers, logger: this.#logger };
    const options = { addresses, clientName, cacheBytes, timeoutMs, followers: true };
    while (!this.#stopping.signal.aborted) {
      try {
        this.#client = await TreeClient.connect(components, options, this.#stopping.signal);
        const { meta, vfs } = this.#client;
        this.#gateway.serve({ meta, files: vfs });
        return;
      } catch (error) {
        if (this.#stopping.signal.aborted) return;
        if (!(error instanceof NoServersError)) throw error;
        if (alone) throw new CliError(error.message, 'correct --servers, or start the cluster first');
        this.#logger.warn({ err: error }, 'the gateway has not found its cluster yet');
      }
    }
  }

  async health(): Promise<Health> {
    const client = this.#client;
    if (this.#stopping.signal.aborted) return { status: 'stopping', detail: '' };
    if (client === undefined)
      return { status: 'starting', detail: `looks for the cluster at ${this.#options.addresses.join(', ')}` };
    try {
      const signal = AbortSignal.timeout(GATEWAY_HEALTH_TIMEOUT_MS);
      await client.meta.statfs(signal);
      const { blockNodes } = await client.meta.topology(signal);
      if (client.meta.stats().leader === undefined)
        return { status: 'degraded', detail: 'no leader of the metadata cluster answers' };
      if (!blockNodes.some((node) => node.alive))
        return { status: 'degraded', detail: 'no block node is alive' };
      return { status: 'ok', detail: '' };
    } catch (error) {
      return { status: 'degraded', detail: `the cluster does not answer: ${(error as Error).message}` };
    }
  }

  async metrics(): Promise<readonly MetricFamily[]> {
    const { id, version, listen } = this.#options;
    const { uploads, downloads } = this.#gateway.context;
    const client = this.#client;
    return gatewayMetrics({
      id,
      version,
      listen,
      http: this.#http.stats(),
      uploads: uploads.used,
      downloads: downloads.used,
      tree: client && {
        dirtyBytes: client.vfs.stats().dirtyBytes,
        hasLeader: client.meta.stats().leader !== undefined,
      },
    });
  }

  /** Ends a start that waits for the cluster. */
  stopWaiting(): void {
    this.#stopping.abort();
  }

  /** Lets requests under way end, for a while. Idempotent. */
  async stop(): Promise<void> {
    this.stopWaiting();
    await this.#http.close();
    // How it failed was told by `start`.
    await this.#connecting?.catch(() => undefined);
    await this.#client?.close();
    this.#client = undefined;
  }
}
