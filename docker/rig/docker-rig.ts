import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import { sh, until } from './commands.ts';
import type { ClusterStatus, Rig } from './rig.ts';

const ROOT = path.resolve(import.meta.dirname, '../../..');
const COMPOSE_FILE = path.join(ROOT, 'docker/compose.rig.yaml');
const PROJECT = 'ringfs-rig';
const PORT = 7400;
const DIRECTORY = '/mnt/ringfs';
const READY_MS = 120_000;
const STOP_SECONDS = '30';

const ADDRESSES: Readonly<Record<string, string>> = {
  s1: '10.78.0.11',
  s2: '10.78.0.12',
  s3: '10.78.0.13',
  m1: '10.78.0.21',
  m2: '10.78.0.22',
};

/** The machines are containers (compose.rig.yaml), each with its own network and volume. Needs a Docker engine on this machine, and root. */
export class DockerRig implements Rig {
  readonly form = 'docker';
  readonly servers = ['s1', 's2', 's3'];
  readonly mounts = ['m1', 'm2'];
  /** docker-compose 1.29 or the plugin. */
  readonly #compose: readonly string[];

  private constructor(compose: readonly string[]) {
    this.#compose = compose;
  }

  /** Builds the image if need be and starts the machines. */
  static async open(): Promise<DockerRig> {
    await sh('sh', path.join(ROOT, 'docker/rig-image.sh'));
    const rig = new DockerRig(await composeCommand());
    try {
      await rig.#down();
      await rig.#run('up', '-d', '--no-build', ...rig.servers);
      await until('there is a leader', READY_MS, async () => (await rig.status()).leader !== null);
      for (const mount of rig.mounts) await rig.start(mount);
    } catch (error) {
      await rig.close();
      throw error;
    }
    return rig;
  }

  #run(...args: readonly string[]): Promise<string> {
    const [command = '', ...first] = this.#compose;
    return sh(command, ...first, '-p', PROJECT, '-f', COMPOSE_FILE, ...args);
  }

  async start(node: string): Promise<void> {
    await this.#run('up', '-d', '--no-build', '--no-deps', node);
    if (!this.mounts.includes(node)) return;
    await until(`${node} is mounted`, READY_MS, async () => {
      await this.#run('exec', '-T', node, 'mountpoint', '-q', DIRECTORY);
      return true;
    });
  }

  async kill(node: string): Promise<void> {
    await this.#run('kill', '-s', 'KILL', node);
  }

  async stop(node: string): Promise<void> {
    await this.#run('stop', '-t', STOP_SECONDS, node);
  }

  async pause(node: string): Promise<void> {
    await this.#run('kill', '-s', 'STOP', node);
  }

  async resume(node: string): Promise<void> {
    await this.#run('kill', '-s', 'CONT', node);
  }

  /** The container's own network, from outside: it needs no privileges of its own for that. */
  async #filter(node: string, ...rule: readonly string[]): Promise<void> {
    const id = (await this.#run('ps', '-q', node)).trim();
    const pid = (await sh('docker', 'inspect', '-f', '{{.State.Pid}}', id)).trim();
    if (pid !== '0') await sh('nsenter', '-t', pid, '-n', 'iptables', '-w', ...rule);
  }

  cut(from: string, to: string): Promise<void> {
    return this.#filter(to, '-A', 'INPUT', '-s', ADDRESSES[from]!, '-j', 'DROP');
  }

  async heal(): Promise<void> {
    for (const node of [...this.servers, ...this.mounts]) await this.#filter(node, '-F', 'INPUT');
  }

  async status(): Promise<ClusterStatus> {
    const addresses = this.servers.map((server) => `${ADDRESSES[server]}:${PORT}`).join();
    const command = [path.join(ROOT, 'ringfs'), 'status', addresses, '--json'] as const;
    return JSON.parse(await sh(...command)) as ClusterStatus;
  }

  worker(mount: string, [kind = '', ...rest]: readonly string[]): ChildProcess {
    const [command = '', ...first] = this.#compose;
    const inside = ['node', '/opt/rig/workers/main.js', kind, DIRECTORY, ...rest];
    return spawn(command, [...first, '-p', PROJECT, '-f', COMPOSE_FILE, 'exec', '-T', mount, ...inside], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
  }

  #down(): Promise<string> {
    return this.#run('down', '-v', '-t', '2');
  }

  async close(): Promise<void> {
    await this.#down();
  }
}

async function composeCommand(): Promise<readonly string[]> {
  for (const command of [['docker-compose'], ['docker', 'compose']] as const) {
    const [name = '', ...args] = command;
    if (
      await sh(name, ...args, 'version').then(
        () => true,
        () => false,
      )
    )
      return command;
  }
  throw new Error('there is neither docker-compose nor docker compose: apt-get install docker-compose');
}
