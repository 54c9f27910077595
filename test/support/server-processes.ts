import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { environment, type Finished, RINGFS_MAIN, until } from './test-cluster.ts';

const META_SERVERS_DEFAULT = 3;
const RETRY_MS = 300;

export interface ServerProcessesOptions {
  /** Data and logs go below it. */
  readonly directory: string;
  readonly basePort: number;
  /** The first of them are voters of the metadata cluster as well as block nodes; all others are block nodes only. Default: 3. */
  readonly metaServers?: number;
  /** More flags of `ringfs server`, by server. */
  readonly flags?: (id: string) => readonly string[];
  /** Of node itself. Default: none. */
  readonly nodeFlags?: readonly string[];
}

interface Server {
  readonly id: string;
  readonly address: string;
  child: ChildProcess | undefined;
}

/** Real servers, each a process with a data directory of its own, that are killed, started again, added and drained. */
export class ServerProcesses {
  readonly root: string;
  readonly #options: ServerProcessesOptions;
  readonly #servers = new Map<string, Server>();
  #made = 0;

  constructor(options: ServerProcessesOptions) {
    this.#options = options;
    this.root = mkdtempSync(path.join(options.directory, 'ringfs-servers-'));
  }

  /** Of all, running or not. */
  get ids(): string[] {
    return [...this.#servers.keys()];
  }

  get running(): string[] {
    return this.ids.filter((id) => this.#servers.get(id)!.child !== undefined);
  }

  /** Of the metadata servers, which never go for good. */
  get metaAddresses(): string[] {
    const length = this.#options.metaServers ?? META_SERVERS_DEFAULT;
    return Array.from({ length }, (_, i) => this.#addressOf(i));
  }

  isMeta(id: string): boolean {
    return this.metaAddresses.includes(this.#server(id).address);
  }

  isRunning(id: string): boolean {
    return this.#servers.get(id)?.child !== undefined;
  }

  /** A new server, not started. Returns its id. */
  make(): string {
    const id = `s${this.#made + 1}`;
    this.#servers.set(id, { id, address: this.#addressOf(this.#made), child: undefined });
    this.#made++;
    return id;
  }

  start(id: string): void {
    const server = this.#server(id);
    if (server.child !== undefined) return;
    const peers = this.metaAddresses.map((address, i) => `s${i + 1}=${address}`).join(',');
    const role = this.isMeta(id)
      ? ['--peers', peers]
      : ['--roles', 'block', '--join', this.metaAddresses.join(',')];
    const own = ['--id', id, '--listen', server.address, '--data', path.join(this.root, id)];
    const flags = [...own, ...role, '--cluster-id', 'test', '--log-level', 'warn', '--log-format', 'json'];
    const log = openSync(path.join(this.root, `${id}.log`), 'a');
    const child = spawn(
      process.execPath,
      [
        ...(this.#options.nodeFlags ?? []),
        RINGFS_MAIN,
        'server',
        ...flags,
        ...(this.#options.flags?.(id) ?? []),
      ],
      {
        stdio: ['ignore', log, log],
        env: environment(),
      },
    );
    server.child = child;
    // The port may have been taken by a connection while the server was away.
    child.once('exit', () => {
      if (server.child !== child) return;
      server.child = undefined;
      setTimeout(() => {
        if (this.#servers.get(id) === server) this.start(id);
      }, RETRY_MS);
    });
  }

  /** The process ends without a word (SIGKILL), or after it has left the ring (SIGTERM). */
  async end(id: string, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const server = this.#server(id);
    const { child } = server;
    if (child === undefined) return;
    server.child = undefined;
    child.kill(signal);
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }

  /** With its disk. */
  async destroy(id: string): Promise<void> {
    await this.end(id, 'SIGTERM');
    this.#servers.delete(id);
    rmSync(path.join(this.root, id), { recursive: true, force: true });
  }

  /** A command about the cluster, without blocking this process. */
  ringfs(...args: string[]): Promise<Finished> {
    return new Promise((resolve) => {
      const all = [RINGFS_MAIN, ...args, '--servers', this.metaAddresses.join(','), '--json'];
      execFile(
        process.execPath,
        all,
        { env: environment(), maxBuffer: 64 << 20 },
        (error, stdout, stderr) => {
          resolve({ status: error === null ? 0 : Number(error.code), stdout, stderr });
        },
      );
    });
  }

  /** Until the registry has all of them alive. */
  async allAlive(ids: readonly string[]): Promise<void> {
    await until(`all are alive: ${ids.join(' ')}`, async () => {
      const { status, stdout } = await this.ringfs('node', 'list');
      if (status !== 0) return false;
      const { nodes } = JSON.parse(stdout) as { nodes: readonly { id: string; alive: boolean }[] };
      return ids.every((id) => nodes.find((node) => node.id === id)?.alive === true);
    });
  }

  /** The last lines of every log that has any. */
  logs(): string {
    return readdirSync(this.root)
      .filter((name) => name.endsWith('.log'))
      .map((name) => {
        const lines = readFileSync(path.join(this.root, name), 'utf8').split('\n');
        return `--- ${name}\n${lines.slice(-8).join('\n')}`;
      })
      .join('\n');
  }

  /** Ends everything and removes the data. */
  async close(): Promise<void> {
    await Promise.all(this.ids.map((id) => this.end(id, 'SIGKILL')));
    rmSync(this.root, { recursive: true, force: true });
  }

  #addressOf(at: number): string {
    return `127.0.0.1:${this.#options.basePort + at}`;
  }

  #server(id: string): Server {
    const server = this.#servers.get(id);
    if (server === undefined) throw new Error(`there is no server ${id}`);
    return server;
  }
}
