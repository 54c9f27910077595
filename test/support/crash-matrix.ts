import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { defined } from '../../src/base/assert.ts';
import { FAILPOINT_VARIABLE } from '../../src/cli/server/failpoint.ts';
import {
  environment,
  freePorts,
  RINGFS_MAIN,
  ringfs,
  type StatusJson,
  sh,
  sha256,
  until,
} from './test-cluster.ts';

/** Three servers and a mount as processes of their own, of which a server can be made to kill itself at a named moment. */

const IDS = ['s1', 's2', 's3'] as const;
type Id = (typeof IDS)[number] | 's4';

/** Writes files, each with fsync, and prints "NAME SHA256" when that has returned. */
const WRITER = `
  const fs = require('node:fs'), crypto = require('node:crypto');
  const dir = process.argv[1];
  for (let i = 0; ; i++) {
    const data = crypto.randomBytes(1 + (i * 977) % 20_000);
    const fd = fs.openSync(dir + '/f' + i, 'w');
    fs.writeSync(fd, data);
    fs.fsyncSync(fd);
    fs.closeSync(fd);
    process.stdout.write('f' + i + ' ' + crypto.createHash('sha256').update(data).digest('hex') + '\\n');
  }`;
/** Makes the Raft log longer than it is kept: what is small travels inside the log. */
const FILLER = `
  const fs = require('node:fs');
  const dir = process.argv[1], data = Buffer.alloc(8_000, 'x');
  for (let i = 0; i < 5_500; i++) fs.writeFileSync(dir + '/b' + i, data);
  const fd = fs.openSync(dir + '/b0', 'r+'); fs.fsyncSync(fd); fs.closeSync(fd);`;

/** What was acknowledged, by path. */
type Manifest = Map<string, string>;

class Writer {
  readonly acknowledged: Manifest = new Map();
  readonly #child: ChildProcess;
  #failure = '';
  #rest = '';

  constructor(dir: string) {
    mkdirSync(dir);
    this.#child = spawn(process.execPath, ['-e', WRITER, dir], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#failure += text;
    });
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      const lines = (this.#rest + text).split('\n');
      this.#rest = lines.pop() ?? '';
      for (const line of lines) {
        const [name = '', hash = ''] = line.split(' ');
        this.acknowledged.set(path.join(dir, name), hash);
      }
    });
  }

  /** Waits for `count` files more. */
  async more(count: number): Promise<void> {
    const wanted = this.acknowledged.size + count;
    await until(`${count} more files are acknowledged`, () => {
      assert.equal(this.#failure, '', 'no operation fails');
      return this.acknowledged.size >= wanted;
    });
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill('SIGKILL');
    // A process in a system call of the mount dies when that returns.
    await once(this.#child, 'exit');
  }
}

export class CrashCluster {
  readonly #root = mkdtempSync(path.join(tmpdir(), 'ringfs-crash-'));
  readonly #servers = new Map<Id, ChildProcess>();
  readonly #manifest: Manifest = new Map();
  readonly mount = path.join(this.#root, 'mnt');
  #basePort = 0;
  #rounds = 0;
  /** s4 joins and leaves. */
  #removed = true;

  static async start(): Promise<CrashCluster> {
    const cluster = new CrashCluster();
    cluster.#basePort = await freePorts(4);
    mkdirSync(cluster.mount);
    await Promise.all(IDS.map((id) => cluster.startServer(id)));
    await cluster.healthy();
    const { status, stderr } = ringfs(
      'mount',
      IDS.map((id) => cluster.address(id)).join(','),
      cluster.mount,
      '-o',
      `log=${cluster.#root}/mount.log`,
    );
    assert.equal(status, 0, stderr);
    return cluster;
  }

  address(id: Id): string {
    return `127.0.0.1:${this.#basePort + Number(id.slice(1)) - 1}`;
  }

  data(id: Id): string {
    return path.join(this.#root, id);
  }

  async startServer(id: Id, failpoint?: string): Promise<void> {
    const list = IDS.map((each) => `${each}=${this.address(each)}`).join(',');
    const joins = id === 's4' ? ['--join', this.address('s1')] : ['--peers', list];
    const child = spawn(
      process.execPath,
      [RINGFS_MAIN, 'server', '--id', id, '--listen', this.address(id), '--data', this.data(id), ...joins],
      {
        stdio: ['ignore', 'pipe', 'ignore'],
        env: { ...environment(), ...(failpoint === undefined ? {} : { [FAILPOINT_VARIABLE]: failpoint }) },
      },
    );
    this.#servers.set(id, child);
    let out = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text;
    });
    // One with a failpoint may die before it is ready.
    await until(`${id} is ready`, () => /^ready/m.test(out) || child.signalCode !== null);
  }

  async kill(id: Id): Promise<void> {
    const child = this.#servers.get(id);
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  /** Waits until the server has killed itself. */
  async death(id: Id): Promise<void> {
    const child = defined(this.#servers.get(id), 'a server that was started');
    await until(`${id} dies at its failpoint`, () => child.signalCode !== null || child.exitCode !== null);
    assert.equal(child.signalCode, 'SIGKILL', 'it dies there and of nothing else');
  }

  status(): StatusJson {
    const { stdout } = ringfs('status', IDS.map((id) => this.address(id)).join(','), '--json');
    return JSON.parse(stdout) as StatusJson;
  }

  async leader(): Promise<Id> {
    return await until('there is a leader', () => (this.status().leader ?? undefined) as Id | undefined);
  }

  async healthy(): Promise<void> {
    await until('all servers are healthy', () => {
      // s4 may be a member and does not run.
      const servers = this.status().servers.filter(({ id }) => IDS.some((each) => each === id));
      const up = servers.filter((server) => server.health === 'ok' && server.ring?.joined === true);
      return up.length === IDS.length;
    });
  }

  writer(): Writer {
    return new Writer(path.join(this.mount, `round${++this.#rounds}`));
  }

  /** The log becomes so long that it is compacted, and a server that was away needs a snapshot. */
  async fillLog(): Promise<void> {
    const dir = path.join(this.mount, `fill${++this.#rounds}`);
    mkdirSync(dir);
    const child = spawn(process.execPath, ['-e', FILLER, dir], { stdio: 'ignore' });
    const [code] = (await once(child, 'exit')) as [number | null];
    assert.equal(code, 0, 'no operation fails');
  }

  async transfer(to: Id): Promise<void> {
    const { status, stderr } = this.#cluster('transfer', to);
    assert.equal(status, 0, stderr);
  }

  /** A change that any leader can carry out: s4, which is not running, comes or goes as one that only learns. */
  changeMembers(): void {
    const { status, stderr } = this.#removed
      ? this.#cluster('add', `s4=${this.address('s4')}`, '--learner')
      : this.#cluster('remove', 's4');
    assert.equal(status, 0, stderr);
    this.#removed = !this.#removed;
  }

  #cluster(...args: string[]): ReturnType<typeof ringfs> {
    return ringfs('cluster', ...args, '--servers', IDS.map((id) => this.address(id)).join(','));
  }

  /** All that was acknowledged in this and the rounds before is there. */
  check(writer: Writer): void {
    for (const [file, hash] of writer.acknowledged) this.#manifest.set(file, hash);
    for (const [file, hash] of this.#manifest) assert.equal(sha256(file), hash, file);
  }

  /** Stops everything and looks at what each server has. */
  async checkData(): Promise<void> {
    const { status, stderr } = ringfs('umount', this.mount);
    assert.equal(status, 0, stderr);
    for (const id of IDS) {
      await this.kill(id);
      const checked = ringfs('meta', 'check', '--data', this.data(id));
      assert.equal(checked.status, 0, `${id}: ${checked.stdout}${checked.stderr}`);
    }
  }

  async remove(): Promise<void> {
    for (const id of this.#servers.keys()) await this.kill(id);
    ringfs('umount', '-l', this.mount);
    sh(`umount -l ${this.mount} 2>/dev/null || true`);
    rmSync(this.#root, { recursive: true, force: true });
  }
}

export interface CrashCase {
  readonly point: string;
  readonly role: 'leader' | 'follower';
  /** What brings a server there, beside the writing. */
  readonly needs?: 'long log' | 'lagging follower' | 'membership change';
}

/** One server dies at the point and comes back: no operation fails, and all that was acknowledged is there. */
export async function crashAt(cluster: CrashCluster, { point, role, needs }: CrashCase): Promise<void> {
  await cluster.healthy();
  const leader = await cluster.leader();
  const others = IDS.filter((id) => id !== leader);
  const [victim, bystander] = others as [Id, Id];
  // The victim is the one that gets the snapshot, or the leader that sends it to the bystander.
  const behind = needs !== 'lagging follower' ? undefined : role === 'leader' ? bystander : victim;
  const count = needs === undefined ? 25 : 1;
  const failpoint = `${point}:${count}:${role}`;
  await cluster.kill(victim);
  if (behind !== victim) await cluster.startServer(victim, failpoint);
  // Before anything is written: it could die before the command sees that it leads.
  if (role === 'leader') await cluster.transfer(victim);
  const writer = cluster.writer();
  try {
    if (behind !== undefined && behind !== victim) await cluster.kill(behind);
    await writer.more(5);
    if (needs === 'long log' || needs === 'lagging follower') await cluster.fillLog();
    if (behind !== undefined) await cluster.startServer(behind, behind === victim ? failpoint : undefined);
    if (needs === 'membership change') cluster.changeMembers();
    await cluster.death(victim);
    await writer.more(10);
  } finally {
    await writer.stop();
  }
  await cluster.startServer(victim);
  await cluster.healthy();
  cluster.check(writer);
}
