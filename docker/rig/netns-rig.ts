import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { sh, until } from './commands.ts';
import type { ClusterStatus, Rig } from './rig.ts';

const RINGFS = path.resolve(import.meta.dirname, '../../../ringfs');
const WORKER = path.join(import.meta.dirname, 'workers/main.js');
const PORT = 7400;
const LEADER_TIMEOUT_MS = 60_000;
const MOUNT_TIMEOUT_MS = 60_000;
const LOG_TAIL_BYTES = 4_000;

interface Machine {
  readonly name: string;
  /** Of the network namespace; a path in the file system is made from it. */
  readonly namespace: string;
  readonly address: string;
  readonly log: string;
  process: ChildProcess | undefined;
}

export interface RigSize {
  readonly servers: number;
  readonly mounts: number;
}

/** The machines are processes, each in a network namespace of its own, on one bridge. Needs root on Linux. */
export class NetnsRig implements Rig {
  readonly form = 'netns';
  readonly servers: readonly string[];
  readonly mounts: readonly string[];
  readonly #root: string;
  readonly #hub: string;
  readonly #machines = new Map<string, Machine>();
  /** Mounts whose directory was made. */
  readonly #made = new Set<string>();

  private constructor(size: RigSize) {
    this.#root = mkdtempSync(path.join(tmpdir(), 'ringfs-rig-'));
    const prefix = `rf${process.pid}`;
    this.#hub = `${prefix}-hub`;
    this.servers = Array.from({ length: size.servers }, (_, i) => `s${i + 1}`);
    this.mounts = Array.from({ length: size.mounts }, (_, i) => `m${i + 1}`);
    [...this.servers, ...this.mounts].forEach((name, i) => {
      const log = path.join(this.#root, `${name}.log`);
      const machine = {
        name,
        namespace: `${prefix}-${name}`,
        address: `10.77.0.${i + 1}`,
        log,
        process: undefined,
      };
      this.#machines.set(name, machine);
    });
  }

  /** Throws when this machine cannot do it, and says what it needs. */
  static async open(size: RigSize): Promise<NetnsRig> {
    const rig = new NetnsRig(size);
    try {
      await rig.#connect();
      for (const server of rig.servers) await rig.start(server);
      await until('there is a leader', LEADER_TIMEOUT_MS, async () => (await rig.status()).leader !== null);
      for (const mount of rig.mounts) await rig.start(mount);
    } catch (error) {
      await rig.close();
      throw error;
    }
    return rig;
  }

  #machine(name: string): Machine {
    const machine = this.#machines.get(name);
    if (machine === undefined) throw new Error(`there is no ${name}`);
    return machine;
  }

  /** One bridge in a namespace of its own, so that the host's network is not touched; a cable from each machine to it. */
  async #connect(): Promise<void> {
    const hub = this.#hub;
    await sh('ip', 'netns', 'add', hub);
    await sh('ip', '-n', hub, 'link', 'add', 'br0', 'type', 'bridge');
    await sh('ip', '-n', hub, 'addr', 'add', '10.77.0.254/24', 'dev', 'br0');
    for (const device of ['lo', 'br0']) await sh('ip', '-n', hub, 'link', 'set', device, 'up');
    for (const { name, namespace, address } of this.#machines.values()) {
      await sh('ip', 'netns', 'add', namespace);
      await sh(
        'ip',
        'link',
        'add',
        'eth0',
        'netns',
        namespace,
        'type',
        'veth',
        'peer',
        'name',
        name,
        'netns',
        hub,
      );
      await sh('ip', '-n', hub, 'link', 'set', name, 'master', 'br0', 'up');
      await sh('ip', '-n', namespace, 'addr', 'add', `${address}/24`, 'dev', 'eth0');
      for (const device of ['lo', 'eth0']) await sh('ip', '-n', namespace, 'link', 'set', device, 'up');
    }
  }

  #addresses(): string[] {
    return this.servers.map((name) => `${this.#machine(name).address}:${PORT}`);
  }

  #directory(mount: string): string {
    return path.join(this.#root, 'mounts', mount);
  }

  /** nsenter and not `ip netns exec`, which would hide what is mounted. It becomes the command, with the same process number. */
  #inNamespace(namespace: string, command: readonly string[]): string[] {
    return [`--net=/run/netns/${namespace}`, ...command];
  }

  #commandOf({ name, address }: Machine): string[] {
    if (this.mounts.includes(name)) {
      const options = 'driver=devfuse,timeout=60';
      return [
        RINGFS,
        'mount',
        this.#addresses().join(),
        this.#directory(name),
        '--foreground',
        '-o',
        options,
      ];
    }
    const peers = this.servers.map((server, i) => `${server}=${this.#addresses()[i]}`).join();
    const data = path.join(this.#root, 'data', name);
    return [
      RINGFS,
      'server',
      '--id',
      name,
      '--listen',
      `${address}:${PORT}`,
      '--peers',
      peers,
      '--data',
      data,
    ];
  }

  async start(node: string): Promise<void> {
    const machine = this.#machine(node);
    if (machine.process !== undefined) throw new Error(`${node} runs already`);
    const isMount = this.mounts.includes(node);
    // What a killed mount left there cannot be looked at, only mounted over.
    if (isMount && !this.#made.has(node)) mkdirSync(this.#directory(node), { recursive: true });
    this.#made.add(node);
    const log = openSync(machine.log, 'a');
    const child = spawn('nsenter', this.#inNamespace(machine.namespace, this.#commandOf(machine)), {
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    machine.process = child;
    child.once('error', () => {
      machine.process = undefined;
    });
    child.once('exit', () => {
      machine.process = undefined;
    });
    if (!isMount) return;
    const mounted = until(`${node} is mounted`, MOUNT_TIMEOUT_MS, async () => {
      await sh('mountpoint', '-q', this.#directory(node));
      return true;
    });
    await mounted.catch(async (error: unknown) => {
      throw new Error(`${node} could not be mounted; its log ends with\n${await this.#logTail(node)}`, {
        cause: error,
      });
    });
  }

  async #signalAndWait(node: string, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const { process: child } = this.#machine(node);
    if (child === undefined) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await ended;
  }

  kill(node: string): Promise<void> {
    return this.#signalAndWait(node, 'SIGKILL');
  }

  stop(node: string): Promise<void> {
    return this.#signalAndWait(node, 'SIGTERM');
  }

  async pause(node: string): Promise<void> {
    this.#machine(node).process?.kill('SIGSTOP');
  }

  async resume(node: string): Promise<void> {
    this.#machine(node).process?.kill('SIGCONT');
  }

  async #filter(machine: Machine, ...rule: readonly string[]): Promise<void> {
    await sh('nsenter', ...this.#inNamespace(machine.namespace, ['iptables', '-w', ...rule]));
  }

  cut(from: string, to: string): Promise<void> {
    return this.#filter(this.#machine(to), '-A', 'INPUT', '-s', this.#machine(from).address, '-j', 'DROP');
  }

  async heal(): Promise<void> {
    for (const machine of this.#machines.values()) await this.#filter(machine, '-F', 'INPUT');
  }

  async status(): Promise<ClusterStatus> {
    const command = [RINGFS, 'status', this.#addresses().join(), '--json'];
    return JSON.parse(await sh('nsenter', ...this.#inNamespace(this.#hub, command))) as ClusterStatus;
  }

  worker(mount: string, args: readonly string[]): ChildProcess {
    const [kind = '', ...rest] = args;
    return spawn(process.execPath, [WORKER, kind, this.#directory(mount), ...rest], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
  }

  async #logTail(node: string): Promise<string> {
    return (await readFile(this.#machine(node).log, 'utf8')).slice(-LOG_TAIL_BYTES);
  }

  async close(): Promise<void> {
    for (const mount of this.mounts) await this.#endMount(mount);
    for (const server of this.servers) await this.kill(server);
    for (const namespace of [
      ...[...this.#machines.values()].map((machine) => machine.namespace),
      this.#hub,
    ]) {
      await sh('ip', 'netns', 'del', namespace).catch(() => undefined);
    }
    rmSync(this.#root, { recursive: true, force: true });
  }

  /** Its data may be of no use any more: what is still open is not waited for. */
  async #endMount(mount: string): Promise<void> {
    await this.kill(mount);
    await sh('umount', '-l', this.#directory(mount)).catch(() => undefined);
  }
}
