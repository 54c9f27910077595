import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { appendFile, readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Backend, Build } from './backend.ts';
import type { Machine } from './cluster.ts';
import { sh } from './commands.ts';
import { NEXT_SUFFIX } from './next-version.ts';

const CLONE = path.resolve(import.meta.dirname, '../../..');
const NETWORK = 'ringfs-rig';
const LABEL = 'ringfs-rig.owner';
const IMAGES: Readonly<Record<Build, string>> = { this: 'ringfs-rig:local', next: 'ringfs-rig:next' };
/** The same image but for its version. */
const NEXT_IMAGE = `FROM ${IMAGES.this}
USER root
RUN sed -i 's/"version": "\\([^"]*\\)"/"version": "\\1${NEXT_SUFFIX}"/' /opt/ringfs/package.json
`;
const DIRECTORY = '/mnt/ringfs';
const STOP_SECONDS = '30';

/**
 * The machines are containers of one Docker network, with the addresses that the plan gives them and their data in directories
 * of this machine. Needs an engine on this machine, and root: packets are filtered from outside, in the network of the container.
 */
export class DockerBackend implements Backend {
  readonly form = 'docker';
  readonly subnet = '10.78.0.';
  readonly root: string;
  readonly #started = new Set<string>();

  constructor(root: string) {
    this.root = root;
  }

  /** Builds the images of this clone; once is enough for any number of clusters. Throws when another rig runs. */
  static async prepare(): Promise<void> {
    await refuseOtherRig();
    await sh('sh', path.join(CLONE, 'docker/rig-image.sh'));
    await sh('sh', '-c', `printf '%s' "$1" | docker build -q -t ${IMAGES.next} -`, 'sh', NEXT_IMAGE);
  }

  async connect(): Promise<void> {
    await refuseOtherRig();
    await removeLeftovers();
    const options = ['--subnet', `${this.subnet}0/24`, '--label', `${LABEL}=${process.pid}`];
    await sh('docker', 'network', 'create', ...options, NETWORK).catch((error: unknown) => {
      throw new Error(
        `the network ${this.subnet}0/24 cannot be had; another one may use its addresses (docker network ls): ${String(error)}`,
      );
    });
  }

  #container({ name }: Pick<Machine, 'name'>): string {
    return `${NETWORK}-${name}`;
  }

  inside(_machine: Machine, folder: 'data' | 'clock'): string {
    return `/${folder}`;
  }

  directory(): string {
    return DIRECTORY;
  }

  async run(
    machine: Machine,
    args: readonly string[],
    { build, env }: { readonly build: Build; readonly env: Readonly<Record<string, string>> },
  ): Promise<void> {
    await this.#remove(machine);
    const forMount = [
      ...['--device', '/dev/fuse', '--cap-add', 'SYS_ADMIN'],
      ...['--security-opt', 'apparmor:unconfined'],
    ];
    const forServer = [
      ...['-v', `${path.join(this.root, 'data', machine.name)}:/data`],
      ...['-v', `${path.join(this.root, 'clock', machine.name)}:/clock`],
    ];
    await sh(
      'docker',
      ...['run', '-d', '--name', this.#container(machine), '--hostname', machine.name],
      ...['--network', NETWORK, '--ip', `${this.subnet}${machine.host}`, '--user', '0:0', '--no-healthcheck'],
      ...['--label', `${LABEL}=${process.pid}`],
      ...Object.entries(env).flatMap(([name, value]) => ['-e', `${name}=${value}`]),
      ...(machine.kind === 'mount' ? forMount : forServer),
      IMAGES[build],
      ...args,
    );
    this.#started.add(machine.name);
  }

  async pid(machine: Machine): Promise<number | undefined> {
    const pid = await sh('docker', 'inspect', '-f', '{{.State.Pid}}', this.#container(machine)).catch(
      () => '0',
    );
    return Number(pid) || undefined;
  }

  async end(machine: Machine, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const container = this.#container(machine);
    if ((await this.pid(machine)) === undefined) return;
    if (signal === 'SIGTERM') await sh('docker', 'stop', '-t', STOP_SECONDS, container);
    else {
      await sh('docker', 'kill', '-s', 'KILL', container);
      await sh('docker', 'wait', container);
    }
  }

  async isMounted(machine: Machine): Promise<boolean> {
    await sh('docker', 'exec', this.#container(machine), 'mountpoint', '-q', DIRECTORY);
    return true;
  }

  /** A container that is off, or goes off meanwhile, has no network. */
  async inNetwork(machine: Machine, ...command: readonly string[]): Promise<void> {
    const pid = await this.pid(machine);
    if (pid === undefined) return;
    try {
      await sh('nsenter', '-t', String(pid), '-n', ...command);
    } catch (error) {
      if (existsSync(`/proc/${pid}/ns/net`)) throw error;
    }
  }

  /** The engine's machine has an address in the network as well. */
  ringfs(args: readonly string[]): Promise<string> {
    return sh(path.join(CLONE, 'ringfs'), ...args);
  }

  worker(machine: Machine, [kind = '', ...rest]: readonly string[]): ChildProcess {
    const inside = ['node', '/opt/rig/workers/main.js', kind, DIRECTORY, ...rest];
    return spawn('docker', ['exec', '-i', this.#container(machine), ...inside], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
  }

  async log({ name }: Machine): Promise<string> {
    const earlier = await readFile(this.#logFile(name), 'utf8').catch(() => '');
    return earlier + (this.#started.has(name) ? await this.#containerLog(name) : '');
  }

  #logFile(name: string): string {
    return path.join(this.root, `${name}.log`);
  }

  #containerLog(name: string): Promise<string> {
    return sh('sh', '-c', 'docker logs "$1" 2>&1', 'sh', this.#container({ name })).catch(() => '');
  }

  /** Each start is a new container, with other arguments maybe; what the one before said is kept. */
  async #remove(machine: Machine): Promise<void> {
    if (!this.#started.has(machine.name)) return;
    await appendFile(this.#logFile(machine.name), await this.#containerLog(machine.name));
    await sh('docker', 'rm', '-f', '-v', this.#container(machine));
    this.#started.delete(machine.name);
  }

  async close(): Promise<void> {
    await removeLeftovers();
    this.#started.clear();
  }
}

async function removeLeftovers(): Promise<void> {
  const containers = await sh('docker', 'ps', '-aq', '--filter', `label=${LABEL}`);
  const ids = containers.split('\n').filter((id) => id !== '');
  if (ids.length > 0) await sh('docker', 'rm', '-f', '-v', ...ids);
  const networks = await sh('docker', 'network', 'ls', '-q', '--filter', `label=${LABEL}`);
  for (const id of networks.split('\n')) if (id !== '') await sh('docker', 'network', 'rm', id);
}

/** Names and addresses are the same for every rig: two of them would take each other's machines. */
async function refuseOtherRig(): Promise<void> {
  const format = `{{index .Labels "${LABEL}"}}`;
  const owner = Number(
    await sh('docker', 'network', 'inspect', '-f', format, NETWORK).catch(() => String(process.pid)),
  );
  if (owner === process.pid || !(owner > 0)) return;
  try {
    process.kill(owner, 0);
  } catch {
    return;
  }
  throw new Error(`another rig uses Docker's network ${NETWORK}: process ${owner}`);
}
