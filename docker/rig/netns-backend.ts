import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, cpSync, existsSync, mkdirSync, openSync, symlinkSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Backend, Build } from './backend.ts';
import type { Machine } from './cluster.ts';
import { sh } from './commands.ts';
import { writeNextManifest } from './next-version.ts';

const CLONE = path.resolve(import.meta.dirname, '../../..');
const WORKER = path.join(import.meta.dirname, 'workers/main.js');

/** What was killed has ended by then, as a rule. */
const ABORT_MS = 2_000;

/** The machines are processes, each in a network namespace of its own, on one bridge. Needs root on Linux. */
export class NetnsBackend implements Backend {
  readonly form = 'netns';
  readonly subnet = '10.77.0.';
  readonly root: string;
  readonly #prefix = `rf${process.pid}`;
  readonly #hub = `${this.#prefix}-hub`;
  readonly #namespaces: string[] = [];
  #machines: readonly Machine[] = [];
  readonly #processes = new Map<string, ChildProcess>();
  readonly #directories = new Set<string>();

  constructor(root: string) {
    this.root = root;
  }

  /** One bridge in a namespace of its own, so that the host's network is not touched; a cable from each machine to it. */
  async connect(machines: readonly Machine[]): Promise<void> {
    this.#machines = machines;
    const hub = this.#hub;
    await this.#addNamespace(hub);
    await sh('ip', '-n', hub, 'link', 'add', 'br0', 'type', 'bridge');
    await sh('ip', '-n', hub, 'addr', 'add', `${this.subnet}254/24`, 'dev', 'br0');
    for (const device of ['lo', 'br0']) await sh('ip', '-n', hub, 'link', 'set', device, 'up');
    for (const { name, host } of machines) {
      const namespace = this.#namespace(name);
      await this.#addNamespace(namespace);
      const ends = ['type', 'veth', 'peer', 'name', name, 'netns', hub];
      await sh('ip', 'link', 'add', 'eth0', 'netns', namespace, ...ends);
      await sh('ip', '-n', hub, 'link', 'set', name, 'master', 'br0', 'up');
      await sh('ip', '-n', namespace, 'addr', 'add', `${this.subnet}${host}/24`, 'dev', 'eth0');
      for (const device of ['lo', 'eth0']) await sh('ip', '-n', namespace, 'link', 'set', device, 'up');
    }
  }

  async #addNamespace(name: string): Promise<void> {
    await sh('ip', 'netns', 'add', name);
    this.#namespaces.push(name);
  }

  #namespace(name: string): string {
    return `${this.#prefix}-${name}`;
  }

  /** nsenter and not `ip netns exec`, which would hide what is mounted. It becomes the command, with the same process number. */
  #entered(namespace: string, command: readonly string[]): string[] {
    return [`--net=/run/netns/${namespace}`, ...command];
  }

  inside({ name }: Machine, folder: 'data' | 'clock'): string {
    return path.join(this.root, folder, name);
  }

  directory({ name }: Machine): string {
    return path.join(this.root, 'mounts', name);
  }

  #logFile(name: string): string {
    return path.join(this.root, `${name}.log`);
  }

  async run(
    machine: Machine,
    args: readonly string[],
    { build, env }: { readonly build: Build; readonly env: Readonly<Record<string, string>> },
  ): Promise<void> {
    const { name, kind } = machine;
    // What a killed mount left there cannot be looked at, only mounted over.
    if (kind === 'mount' && !this.#directories.has(name))
      mkdirSync(this.directory(machine), { recursive: true });
    this.#directories.add(name);
    const ringfs = path.join(build === 'this' ? CLONE : this.#nextBuild(), 'ringfs');
    const log = openSync(this.#logFile(name), 'a');
    const child = spawn('nsenter', this.#entered(this.#namespace(name), [ringfs, ...args]), {
      stdio: ['ignore', log, log],
      env: { ...process.env, ...env },
    });
    closeSync(log);
    this.#processes.set(name, child);
    const ended = (): void => {
      if (this.#processes.get(name) === child) this.#processes.delete(name);
    };
    child.once('error', ended);
    child.once('exit', ended);
  }

  /** A copy of this clone's build that says another version. */
  #nextBuild(): string {
    const next = path.join(this.root, 'next');
    if (existsSync(next)) return next;
    mkdirSync(next);
    for (const part of ['ringfs', 'dist/src', 'dist/mount'])
      cpSync(path.join(CLONE, part), path.join(next, part), { recursive: true });
    symlinkSync(path.join(CLONE, 'node_modules'), path.join(next, 'node_modules'));
    writeNextManifest(path.join(CLONE, 'package.json'), path.join(next, 'package.json'));
    return next;
  }

  pid({ name }: Machine): Promise<number | undefined> {
    return Promise.resolve(this.#processes.get(name)?.pid);
  }

  async end(machine: Machine, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.#processes.get(machine.name);
    if (child === undefined) return;
    let over = false;
    const ended = once(child, 'exit').then(() => {
      over = true;
    });
    child.kill(signal);
    if (machine.kind === 'mount' && signal === 'SIGKILL') await Promise.race([ended, sleep(ABORT_MS)]);
    // A thread of it may wait in the kernel for a page that waits for its answer: then nothing else ends it.
    if (!over && signal === 'SIGKILL' && machine.kind === 'mount')
      await sh('umount', '-f', this.directory(machine)).catch(() => undefined);
    await ended;
  }

  async isMounted(machine: Machine): Promise<boolean> {
    await sh('mountpoint', '-q', this.directory(machine));
    return true;
  }

  async inNetwork({ name }: Machine, ...command: readonly string[]): Promise<void> {
    await sh('nsenter', ...this.#entered(this.#namespace(name), command));
  }

  ringfs(args: readonly string[]): Promise<string> {
    return sh('nsenter', ...this.#entered(this.#hub, [path.join(CLONE, 'ringfs'), ...args]));
  }

  worker(machine: Machine, [kind = '', ...rest]: readonly string[]): ChildProcess {
    return spawn(process.execPath, [WORKER, kind, this.directory(machine), ...rest], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
  }

  log({ name }: Machine): Promise<string> {
    return readFile(this.#logFile(name), 'utf8').catch(() => '');
  }

  /** The data may be of no use any more: what is still open is not waited for. */
  async close(): Promise<void> {
    for (const machine of this.#machines) await this.end(machine, 'SIGKILL');
    for (const name of this.#directories)
      await sh('umount', '-l', path.join(this.root, 'mounts', name)).catch(() => undefined);
    for (const namespace of this.#namespaces.splice(0))
      await sh('ip', 'netns', 'del', namespace).catch(() => undefined);
  }
}
