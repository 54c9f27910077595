import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { FAILPOINT_VARIABLE } from '../../src/cli/server/failpoint.ts';
import { environment, freePorts, RINGFS_MAIN, ringfs, type StatusJson, until } from './test-cluster.ts';

/** A server process, with what it says. */
class ServerHandle {
  readonly child: ChildProcess;
  /** Resolves when it has ended and all of its output is here: with its status, or null for a signal. */
  readonly ended: Promise<number | null>;
  stdout = '';
  stderr = '';

  constructor(args: readonly string[], env: NodeJS.ProcessEnv) {
    const child = spawn(process.execPath, [RINGFS_MAIN, 'server', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...environment(), ...env },
    });
    this.child = child;
    this.ended = new Promise((resolve) => child.once('close', (code) => resolve(code)));
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  get isReady(): boolean {
    return /^ready/m.test(this.stdout);
  }

  async ready(): Promise<void> {
    await until('a server is ready', () => {
      assert.ok(this.running, `it ended:\n${this.stdout}${this.stderr}`);
      return this.isReady;
    });
  }
}

export interface StartOptions {
  /** Servers to join; otherwise it is one of --peers. */
  readonly join?: readonly string[];
  /** The directory of another server, as a volume that was given to this one. */
  readonly data?: string;
  readonly failpoint?: string;
}

/** Servers as an operator starts them, each a process with a data directory, none started by itself. */
export class ServerGroup {
  readonly root = mkdtempSync(path.join(tmpdir(), 'ringfs-group-'));
  readonly founders: readonly string[];
  readonly #basePort: number;
  readonly #all: ServerHandle[] = [];
  readonly #running = new Map<string, ServerHandle>();

  private constructor(founders: readonly string[], basePort: number) {
    this.founders = founders;
    this.#basePort = basePort;
  }

  /** Room for `founders`, s1 and on, and as many more. Nothing runs yet. */
  static async make(founders: number): Promise<ServerGroup> {
    const ids = Array.from({ length: founders }, (_, i) => `s${i + 1}`);
    return new ServerGroup(ids, await freePorts(2 * founders));
  }

  address(id: string): string {
    return `127.0.0.1:${this.#basePort + Number(id.slice(1)) - 1}`;
  }

  data(id: string): string {
    return path.join(this.root, id);
  }

  /** As an argument of commands. */
  addresses(ids: readonly string[] = this.founders): string {
    return ids.map((id) => this.address(id)).join(',');
  }

  start(id: string, options: StartOptions = {}): ServerHandle {
    const peers = this.founders.map((founder) => `${founder}=${this.address(founder)}`).join(',');
    const origin = options.join === undefined ? ['--peers', peers] : ['--join', this.addresses(options.join)];
    const args = [
      '--id',
      id,
      '--listen',
      this.address(id),
      '--data',
      options.data ?? this.data(id),
      ...origin,
    ];
    const env = options.failpoint === undefined ? {} : { [FAILPOINT_VARIABLE]: options.failpoint };
    const handle = new ServerHandle([...args, '--log-format', 'json'], env);
    this.#all.push(handle);
    this.#running.set(id, handle);
    return handle;
  }

  async kill(id: string): Promise<void> {
    const handle = this.#running.get(id);
    if (handle === undefined) return;
    handle.child.kill('SIGKILL');
    await handle.ended;
  }

  /** kill -9, and the disk is gone. */
  async wipe(id: string): Promise<void> {
    await this.kill(id);
    rmSync(this.data(id), { recursive: true });
  }

  status(ids: readonly string[] = this.founders): StatusJson {
    return JSON.parse(ringfs('status', this.addresses(ids), '--json').stdout) as StatusJson;
  }

  async healthy(ids: readonly string[] = this.founders): Promise<void> {
    await until('all servers are healthy', () => {
      const servers = this.status(ids).servers.filter(({ id }) => ids.includes(id));
      const up = servers.filter(({ health, ring }) => health === 'ok' && ring?.members === ids.length);
      return up.length === ids.length;
    });
  }

  async close(): Promise<void> {
    for (const handle of this.#all) {
      if (handle.running) handle.child.kill('SIGKILL');
      await handle.ended;
    }
    rmSync(this.root, { recursive: true, force: true });
  }
}
