import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Real processes: a cluster started with the command that a user types, in a directory of its own. */

export const RINGFS_MAIN = path.resolve(import.meta.dirname, '../../src/cli/main.js');
const READY_TIMEOUT_MS = 120_000;
const POLL_MS = 50;
/** Behind the ports of the servers, and two more that tests use. */
const METRICS_PORT_OFFSET = 5;

export interface ServerStatusJson {
  readonly id: string;
  readonly pid: number | null;
  readonly address: string;
  readonly roles: readonly string[];
  readonly health: string;
  readonly detail: string;
  readonly raft: { role: string; term: number; commitIndex: number; appliedIndex: number } | null;
  readonly ring: {
    joined: boolean;
    share: number;
    members: number;
    blocks: number;
    storedBytes: number;
    corruptFound: number;
    repaired: number;
    underReplicated: number;
    quarantinedSegments: number;
    repair: { droppedBlocks: number } | null;
    scrub: {
      passes: number;
      found: number;
      healed: number;
      lastPass: { blocks: number; bad: number; endedUnixSec: number } | null;
    } | null;
  } | null;
}
export interface StatusJson {
  readonly health: string;
  readonly leader: string | null;
  readonly servers: readonly ServerStatusJson[];
}

export interface Finished {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a ringfs command to its end. */
export function ringfs(...args: string[]): Finished {
  const { status, stdout, stderr } = spawnSync(process.execPath, [RINGFS_MAIN, ...args], {
    encoding: 'utf8',
    env: environment(),
  });
  return { status, stdout, stderr };
}

export function environment(): NodeJS.ProcessEnv {
  return { ...process.env, UV_THREADPOOL_SIZE: '16' };
}

/**
 * The first of `count` ports in a row that are free now. Below those that the system gives to outgoing connections, which could take
 * the port of a server that is being restarted.
 */
export async function freePorts(count: number): Promise<number> {
  for (;;) {
    const base = 12_000 + Math.floor(Math.random() * 20_000);
    const free = await Promise.all(Array.from({ length: count }, (_, i) => portIsFree(base + i)));
    if (free.every(Boolean)) return base;
  }
}

function portIsFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ host: '127.0.0.1', port }, () => probe.close(() => resolve(true)));
  });
}

/** Polls until `condition` holds. The test runner's own limit ends a wait for what never comes. */
export async function until<T>(
  what: string,
  condition: () => T | Promise<T | undefined> | undefined,
  timeoutMs = READY_TIMEOUT_MS,
): Promise<NonNullable<T>> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const value = await condition();
    if (value !== undefined && value !== null && value !== false) return value as NonNullable<T>;
    if (performance.now() > end) throw new Error(`waited in vain until ${what}`);
    await sleep(POLL_MS);
  }
}

export class TestCluster {
  readonly data: string;
  readonly mount: string;
  readonly basePort: number;
  readonly #args: readonly string[];
  readonly #root: string;
  #up: ChildProcess | undefined;
  #stderr = '';
  readyLine = '';

  private constructor(root: string, basePort: number, args: readonly string[]) {
    this.#root = root;
    this.data = path.join(root, 'data');
    this.mount = path.join(root, 'mnt');
    this.basePort = basePort;
    this.#args = args;
  }

  /** A new cluster of three servers (or as `args` say), mounted. */
  static async start(...args: string[]): Promise<TestCluster> {
    return await TestCluster.#start(await freePorts(METRICS_PORT_OFFSET), args);
  }

  /** The same and a gateway, with metrics at `metrics`. */
  static async startWithMetrics(): Promise<TestCluster> {
    const basePort = await freePorts(METRICS_PORT_OFFSET + 6);
    const first = basePort + METRICS_PORT_OFFSET;
    return await TestCluster.#start(basePort, [
      ...['--metrics-base-port', String(first)],
      ...['--http-port', String(first + 5)],
    ]);
  }

  static async #start(basePort: number, args: readonly string[]): Promise<TestCluster> {
    const root = mkdtempSync(path.join(tmpdir(), 'ringfs-test-'));
    const cluster = new TestCluster(root, basePort, args);
    mkdirSync(cluster.mount);
    try {
      await cluster.up();
    } catch (error) {
      await cluster.remove();
      throw error;
    }
    return cluster;
  }

  get addresses(): readonly string[] {
    return [0, 1, 2].map((i) => `127.0.0.1:${this.basePort + i}`);
  }

  /** Where the three servers, then the mount and then the gateway serve them. */
  get metrics(): readonly string[] {
    return [0, 1, 2, 3, 4].map((i) => `127.0.0.1:${this.basePort + METRICS_PORT_OFFSET + i}`);
  }

  path(...names: string[]): string {
    return path.join(this.mount, ...names);
  }

  /** `ringfs up`, until it says ready. */
  async up(): Promise<void> {
    const args = [
      'up',
      '--data',
      this.data,
      '--mount',
      this.mount,
      '--base-port',
      String(this.basePort),
      ...this.#args,
    ];
    const child = spawn(process.execPath, [RINGFS_MAIN, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: environment(),
    });
    this.#up = child;
    this.#stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
    });
    let stdout = '';
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`ringfs up was not ready in time:\n${this.#stderr}${this.logs()}`)),
        READY_TIMEOUT_MS,
      );
      child.once('exit', (code, signal) => {
        clearTimeout(timer);
        reject(new Error(`ringfs up ended with ${signal ?? code}:\n${this.#stderr}${this.logs()}`));
      });
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        stdout += text;
        const line = /^ready.*$/m.exec(stdout)?.[0];
        if (line === undefined) return;
        clearTimeout(timer);
        this.readyLine = line;
        resolve();
      });
    });
  }

  status(): StatusJson {
    const { stdout, stderr } = ringfs('status', '--json', '--data', this.data);
    if (stdout === '') throw new Error(`no status: ${stderr}`);
    return JSON.parse(stdout) as StatusJson;
  }

  leader(): Promise<ServerStatusJson> {
    return until('there is a leader', () =>
      this.status().servers.find((server) => server.raft?.role === 'leader'),
    );
  }

  /** All servers up, with the same applied index as far as can be seen, and in the ring. */
  healthy(): Promise<StatusJson> {
    return until('all servers are healthy', () => {
      const status = this.status();
      const leader = status.servers.find((server) => server.raft?.role === 'leader');
      const caughtUp = status.servers.every(
        (server) =>
          server.health === 'ok' &&
          server.ring?.joined === true &&
          (server.raft?.appliedIndex ?? 0) >= (leader?.raft?.commitIndex ?? Number.POSITIVE_INFINITY) - 50,
      );
      return caughtUp ? status : undefined;
    });
  }

  /** Ends the supervisor as a terminal's Ctrl-C would, and waits for it. */
  async stop(): Promise<number | null> {
    const child = this.#up;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null)
      return child?.exitCode ?? null;
    const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
    child.kill('SIGINT');
    return exited;
  }

  /** kill -9 of the supervisor, the servers and the mount, as close together as can be. */
  async killEverything(): Promise<void> {
    const run = JSON.parse(readFileSync(path.join(this.data, 'run.json'), 'utf8')) as {
      pid: number;
      mountPid: number;
      servers: { pid: number }[];
    };
    const pids = [run.pid, ...run.servers.map((server) => server.pid), run.mountPid].filter((pid) => pid > 0);
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    await until('all are dead', () => pids.every((pid) => !isAlive(pid)));
  }

  logs(): string {
    try {
      const dir = path.join(this.data, 'logs');
      return readdirSync(dir)
        .map(
          (name) =>
            `--- ${name}\n${readFileSync(path.join(dir, name), 'utf8').split('\n').slice(-15).join('\n')}`,
        )
        .join('\n');
    } catch {
      return '';
    }
  }

  /** Stops what runs and removes every trace. */
  async remove(): Promise<void> {
    await this.stop();
    ringfs('down', '--data', this.data);
    spawnSync('umount', ['-l', this.mount]);
    rmSync(this.#root, { recursive: true, force: true });
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

export function sha256(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}

/** Runs a shell command line in a process of its own; throws with its output when it fails. */
export function sh(command: string, cwd?: string): string {
  return execFileSync('sh', ['-ec', command], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 64 << 20,
    ...(cwd === undefined ? {} : { cwd }),
  });
}

/** Like `sh`, without blocking this process. Rejects with the output when the command fails. */
export function shAsync(command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn('sh', ['-ec', command], { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    child.once('exit', (code) =>
      code === 0 ? resolve(output) : reject(new Error(`status ${code}: ${command}\n${output}`)),
    );
  });
}
