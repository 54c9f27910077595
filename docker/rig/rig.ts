import type { ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { type FileHandle, open, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Backend, Build } from './backend.ts';
import { type ClusterSpec, type Machine, machinesOf, PORT } from './cluster.ts';
import { sh, until } from './commands.ts';

const LEADER_TIMEOUT_MS = 120_000;
const MOUNT_TIMEOUT_MS = 120_000;
const LOG_TAIL_CHARS = 4_000;
/** $LIB is replaced by the dynamic linker: Debian's folder for this architecture. */
const FAKETIME = '/usr/$LIB/faketime/libfaketimeMT.so.1';

/** What `ringfs status --json` says, as far as scenarios look at it. */
export interface ClusterStatus {
  readonly leader: string | null;
  readonly servers: readonly ServerReport[];
}

export interface ServerReport {
  readonly id: string;
  readonly health: string;
  readonly detail: string;
  readonly version?: string;
  readonly raft: { readonly appliedIndex: number } | null;
  readonly ring: { readonly underReplicated: number; readonly members: number; readonly mode: string } | null;
}

/**
 * A cluster whose machines can be broken: servers and mounts, each with an address of its own. Scenarios do not know what the
 * machines are.
 */
export class Rig {
  readonly spec: ClusterSpec;
  readonly #backend: Backend;
  readonly #machines: ReadonlyMap<string, Machine>;
  /** Those that should be in the cluster now. */
  #servers: string[];
  /** Of servers that were added later. */
  readonly #roles = new Map<string, string>();
  readonly #builds = new Map<string, Build>();
  readonly #cuts = new Map<string, { readonly from: Machine; readonly to: Machine }>();
  readonly #volumes: string[] = [];

  private constructor(backend: Backend, spec: ClusterSpec) {
    const machines = machinesOf(spec);
    this.spec = spec;
    this.#backend = backend;
    this.#machines = new Map(machines.map((machine) => [machine.name, machine]));
    this.#servers = machines
      .filter(({ kind }) => kind === 'meta' || kind === 'block')
      .map(({ name }) => name);
  }

  /**
   * Starts the cluster and mounts it. Throws when this machine cannot do it, and says why. `onMade` gets it before anything is
   * started, so that it can be closed at any time.
   */
  static async open(
    makeBackend: (root: string) => Backend,
    spec: ClusterSpec,
    onMade: (rig: Rig) => void,
  ): Promise<Rig> {
    const root = mkdtempSync(path.join(tmpdir(), 'ringfs-rig-'));
    const rig = new Rig(makeBackend(root), spec);
    onMade(rig);
    try {
      await rig.#prepare();
      for (const server of rig.servers) await rig.start(server);
      await until('there is a leader', LEADER_TIMEOUT_MS, async () => (await rig.status()).leader !== null);
      for (const mount of rig.mounts) await rig.start(mount);
    } catch (error) {
      const logs = await rig.#logTails();
      await rig.close();
      throw new Error(`${(error as Error).message}\n${logs}`, { cause: error });
    }
    return rig;
  }

  get form(): Backend['form'] {
    return this.#backend.form;
  }

  get servers(): readonly string[] {
    return this.#servers;
  }

  get mounts(): readonly string[] {
    return this.#named('mount');
  }

  /** The servers that keep metadata. */
  get metas(): readonly string[] {
    const first = this.#named('meta');
    return this.#servers.filter((name) => first.includes(name) || this.#roles.get(name) === 'meta,block');
  }

  /** The servers that keep blocks only. */
  get blockNodes(): readonly string[] {
    const { metas } = this;
    return this.#servers.filter((name) => !metas.includes(name));
  }

  /** Machines without a server at first. */
  get spares(): readonly string[] {
    return this.#named('spare');
  }

  #named(kind: Machine['kind']): string[] {
    return [...this.#machines.values()].filter((machine) => machine.kind === kind).map(({ name }) => name);
  }

  #machine(name: string): Machine {
    const machine = this.#machines.get(name);
    if (machine === undefined) throw new Error(`there is no ${name}`);
    return machine;
  }

  address(name: string): string {
    return `${this.#backend.subnet}${this.#machine(name).host}:${PORT}`;
  }

  /** On this machine: what the server has on its disk. */
  dataOf(server: string): string {
    return path.join(this.#backend.root, 'data', server);
  }

  async #prepare(): Promise<void> {
    const { volumeMegabytes } = this.spec;
    for (const { name, kind } of this.#machines.values()) {
      if (kind === 'mount') continue;
      mkdirSync(this.dataOf(name), { recursive: true });
      mkdirSync(path.join(this.#backend.root, 'clock', name), { recursive: true });
      await this.setClock(name, 0);
      if (volumeMegabytes === undefined) continue;
      await sh('mount', '-t', 'tmpfs', '-o', `size=${volumeMegabytes}m`, 'ringfs-rig', this.dataOf(name));
      this.#volumes.push(this.dataOf(name));
    }
    await this.#backend.connect([...this.#machines.values()]);
  }

  #argsOf(machine: Machine): string[] {
    const { name, kind } = machine;
    if (kind === 'mount') {
      const addresses = this.metas.map((server) => this.address(server)).join();
      const options = 'driver=devfuse,timeout=60';
      return ['mount', addresses, this.#backend.directory(machine), '--foreground', '-o', options];
    }
    const metas = this.#named('meta');
    const joins = this.#roles.has(name);
    const contacts = this.#servers.filter((server) => server !== name).map((server) => this.address(server));
    return [
      ...['server', '--id', name, '--listen', this.address(name)],
      ...['--data', this.#backend.inside(machine, 'data')],
      ...['--roles', this.#roles.get(name) ?? (kind === 'block' ? 'block' : 'meta,block')],
      ...(joins
        ? ['--join', contacts.join()]
        : ['--peers', metas.map((meta) => `${meta}=${this.address(meta)}`).join()]),
      ...this.spec.serverFlags,
    ];
  }

  #environmentOf(machine: Machine): Record<string, string> {
    if (!this.spec.clocks || machine.kind === 'mount') return {};
    return {
      LD_PRELOAD: FAKETIME,
      FAKETIME_TIMESTAMP_FILE: `${this.#backend.inside(machine, 'clock')}/now`,
      FAKETIME_NO_CACHE: '1',
      // Timers run on the clock that nobody can set.
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      DONT_FAKE_MONOTONIC: '1',
    };
  }

  /** Starts a server that was killed or stopped, or a mount, and waits until a mount can be used. */
  async start(node: string): Promise<void> {
    const machine = this.#machine(node);
    if ((await this.#backend.pid(machine)) !== undefined) throw new Error(`${node} runs already`);
    await this.#backend.run(machine, this.#argsOf(machine), {
      build: this.#builds.get(node) ?? 'this',
      env: this.#environmentOf(machine),
    });
    for (const cut of this.#cuts.values()) if (cut.to === machine) await this.#drop(cut);
    if (machine.kind !== 'mount') return;
    try {
      await until(`${node} is mounted`, MOUNT_TIMEOUT_MS, () => this.#backend.isMounted(machine));
    } catch (error) {
      const log = (await this.#backend.log(machine)).slice(-LOG_TAIL_CHARS);
      throw new Error(`${node} could not be mounted; its log ends with\n${log}`, { cause: error });
    }
  }

  kill(node: string): Promise<void> {
    return this.#backend.end(this.#machine(node), 'SIGKILL');
  }

  /** SIGTERM; waits for the end. */
  stop(node: string): Promise<void> {
    return this.#backend.end(this.#machine(node), 'SIGTERM');
  }

  /** SIGSTOP or SIGCONT; nothing when it does not run. */
  async signal(node: string, signal: 'SIGSTOP' | 'SIGCONT'): Promise<void> {
    const pid = await this.#backend.pid(this.#machine(node));
    if (pid !== undefined) process.kill(pid, signal);
  }

  /** Of the RingFS process of a node. */
  async pid(node: string): Promise<number> {
    const pid = await this.#backend.pid(this.#machine(node));
    if (pid === undefined) throw new Error(`${node} does not run`);
    return pid;
  }

  /** Starts a spare machine as a server that joins the cluster. */
  async join(node: string, roles: 'meta,block' | 'block'): Promise<void> {
    this.#roles.set(node, roles);
    await this.start(node);
    this.#servers = [...this.#servers, node];
  }

  /** The server belongs to the cluster no more. */
  forget(node: string): void {
    this.#servers = this.#servers.filter((server) => server !== node);
  }

  /** Whatever it had on its disk is gone. It must not run. */
  async loseVolume(server: string): Promise<void> {
    const data = this.dataOf(server);
    for (const name of await readdir(data)) rmSync(path.join(data, name), { recursive: true });
  }

  /** From its next start on it is of another version. */
  install(server: string, build: Build): void {
    this.#builds.set(server, build);
  }

  /** Sets the clock that tells the time of day, relative to that of this machine. */
  async setClock(server: string, offsetSeconds: number): Promise<void> {
    const file = path.join(this.#backend.root, 'clock', server, 'now');
    await writeFile(`${file}.new`, `${offsetSeconds < 0 ? '' : '+'}${offsetSeconds}s\n`);
    renameSync(`${file}.new`, file);
  }

  /** Fills the volume of a server. Returns how to free it again. */
  async fillVolume(server: string): Promise<() => Promise<void>> {
    const ballast = path.join(this.dataOf(server), 'ballast');
    const file = await open(ballast, 'w');
    try {
      for (const size of [1 << 20, 1 << 12]) await writeUntilFull(file, Buffer.alloc(size));
    } finally {
      await file.close();
    }
    return () => rm(ballast);
  }

  /** From now on nothing that `from` sends reaches `to`. The other direction still works. Returns how to take it back. */
  async cut(from: string, to: string): Promise<() => Promise<void>> {
    const key = `${from} ${to}`;
    if (this.#cuts.has(key)) return () => Promise.resolve();
    const cut = { from: this.#machine(from), to: this.#machine(to) };
    this.#cuts.set(key, cut);
    await this.#drop(cut);
    return async () => {
      this.#cuts.delete(key);
      await this.#filter(cut, '-D').catch(() => undefined);
    };
  }

  /** A new container has lost its rules, a new process in an old namespace has not. */
  async #drop(cut: { readonly from: Machine; readonly to: Machine }): Promise<void> {
    await this.#filter(cut, '-C').catch(() => this.#filter(cut, '-A'));
  }

  async #filter(
    { from, to }: { readonly from: Machine; readonly to: Machine },
    action: string,
  ): Promise<void> {
    const rule = ['INPUT', '-s', `${this.#backend.subnet}${from.host}`, '-j', 'DROP'];
    await this.#backend.inNetwork(to, 'iptables', '-w', action, ...rule);
  }

  /** From the servers that answer. Rejects when none does. */
  async status(): Promise<ClusterStatus> {
    const addresses = this.#servers.map((server) => this.address(server)).join();
    return JSON.parse(await this.#backend.ringfs(['status', addresses, '--json'])) as ClusterStatus;
  }

  /** A command of an operator, such as `node drain b1`. `through`: the servers that it asks. */
  operate(through: readonly string[], ...args: readonly string[]): Promise<string> {
    const addresses = through.map((server) => this.address(server)).join();
    return this.#backend.ringfs([...args, '--servers', addresses]);
  }

  /** Runs a worker (workers/main.ts) on the machine of a mount, in the mounted directory. */
  worker(mount: string, args: readonly string[]): ChildProcess {
    return this.#backend.worker(this.#machine(mount), args);
  }

  async log(node: string): Promise<string> {
    return await this.#backend.log(this.#machine(node));
  }

  /** Copies what the processes have said to `directory`. */
  async saveLogs(directory: string): Promise<void> {
    mkdirSync(directory, { recursive: true });
    for (const name of this.#machines.keys())
      await writeFile(path.join(directory, `${name}.log`), await this.log(name));
  }

  async #logTails(): Promise<string> {
    const tails: string[] = [];
    for (const name of this.#machines.keys()) {
      const tail = (await this.log(name).catch(() => '')).trim().split('\n').slice(-3).join('\n');
      if (tail !== '') tails.push(`${name}: ${tail}`);
    }
    return tails.join('\n');
  }

  async close(): Promise<void> {
    await this.#backend.close();
    for (const volume of this.#volumes) await sh('umount', '-l', volume);
    rmSync(this.#backend.root, { recursive: true, force: true });
  }
}

async function writeUntilFull(file: FileHandle, bytes: Uint8Array): Promise<void> {
  try {
    for (;;) await file.write(bytes);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  }
}

/** Nothing passes between the two groups, in either direction. Returns how to take it back. */
export async function partition(
  rig: Rig,
  one: readonly string[],
  other: readonly string[],
): Promise<() => Promise<void>> {
  const mends: (() => Promise<void>)[] = [];
  for (const a of one) {
    for (const b of other) mends.push(await rig.cut(a, b), await rig.cut(b, a));
  }
  return async () => {
    for (const mend of mends) await mend();
  };
}
