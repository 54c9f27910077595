import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { MetaClient } from '../../src/client/meta-client.ts';
import { metaConnector } from '../../src/io/grpc/connectors.ts';
import { systemRandom } from '../../src/io/os/system-random.ts';
import { SystemTimers } from '../../src/io/os/system-timers.ts';
import { RecordingLogger } from '../support/recording-logger.ts';
import { until } from '../support/test-cluster.ts';

const RETRY_MS = 200;
const RINGFS = path.resolve(import.meta.dirname, '../../../ringfs');

/** Real servers with the role meta, each a process with a data directory of its own. */
export class BenchServers {
  readonly root: string;
  readonly addresses: readonly string[];
  readonly #processes = new Map<string, ChildProcess>();
  readonly #clients = new Set<MetaClient>();

  constructor(options: {
    readonly count: number;
    readonly basePort: number;
    /** Data goes below it. */
    readonly directory: string;
  }) {
    this.root = mkdtempSync(path.join(options.directory, 'ringfs-bench-'));
    this.addresses = Array.from({ length: options.count }, (_, i) => `127.0.0.1:${options.basePort + i}`);
  }

  startAll(): void {
    for (const address of this.addresses) this.start(address);
  }

  start(address: string): void {
    const id = (at: number): string => `s${at + 1}`;
    const own = id(this.addresses.indexOf(address));
    const peers = this.addresses.map((peer, at) => `${id(at)}=${peer}`).join(',');
    const flags = { id: own, listen: address, data: path.join(this.root, own), peers, roles: 'meta' };
    const args = Object.entries({ ...flags, 'cluster-id': 'bench', 'log-level': 'fatal' });
    const child = spawn(RINGFS, ['server', ...args.flatMap(([name, value]) => [`--${name}`, value])], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    this.#processes.set(address, child);
    // The port may have been taken by a connection while the server was away.
    child.once('exit', () => {
      if (this.#processes.get(address) === child)
        setTimeout(() => this.#startAgain(address, child), RETRY_MS);
    });
  }

  #startAgain(address: string, child: ChildProcess): void {
    if (this.#processes.get(address) === child) this.start(address);
  }

  /** Without a word. */
  async kill(address: string): Promise<void> {
    const child = this.#processes.get(address);
    if (child === undefined) return;
    this.#processes.delete(address);
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }

  client(name: string, operationTimeoutMs = 30_000): MetaClient {
    const client = new MetaClient(
      {
        connector: metaConnector(),
        timers: new SystemTimers(),
        random: systemRandom,
        logger: new RecordingLogger(),
      },
      { addresses: this.addresses, clientName: name, operationTimeoutMs },
    );
    this.#clients.add(client);
    return client;
  }

  /** The address of the leader that `client` uses. */
  leader(client: MetaClient): Promise<string> {
    return until('the client has a leader', () => client.stats().leader);
  }

  /** Ends everything and removes the data. */
  async close(): Promise<void> {
    await Promise.all([...this.#clients].map((client) => client.close()));
    await Promise.all([...this.#processes.keys()].map((address) => this.kill(address)));
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** Of numbers in ascending order. */
export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

export const rounded = (value: number, digits = 2): number => Number(value.toFixed(digits));
