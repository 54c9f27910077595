import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { defined } from '../../src/base/assert.ts';
import {
  environment,
  type Finished,
  RINGFS_MAIN,
  ringfs,
  type StatusJson,
  TestCluster,
  until,
} from '../support/test-cluster.ts';

interface NodesJson {
  readonly nodes: readonly {
    readonly id: string;
    readonly mode: string;
    readonly alive: boolean;
    readonly domain: string | null;
  }[];
  readonly cost?: Readonly<Record<'lostBlocks' | 'lostBytes' | 'thinBlocks' | 'thinBytes', number>>;
}

const hash = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');

describe('a block node that is drained and removed under load', () => {
  let cluster: TestCluster;
  let address = '';
  let fourth: ChildProcess | undefined;

  before(async () => {
    cluster = await TestCluster.start();
    address = `127.0.0.1:${cluster.basePort + 4}`;
    await startFourth();
    await until('four nodes are one ring', () =>
      cluster.status().servers.every((server) => server.ring?.members === 4),
    );
  });
  after(async () => {
    await stopFourth('SIGKILL');
    await cluster.remove();
  });

  async function startFourth(): Promise<void> {
    const data = path.join(cluster.data, 's4');
    const args = ['--roles', 'block', '--join', cluster.addresses.join(','), '--domain', 'shelf'];
    const child = spawn(
      process.execPath,
      [RINGFS_MAIN, 'server', '--id', 's4', '--listen', address, '--data', data, ...args],
      { stdio: ['ignore', 'pipe', 'ignore'], env: environment() },
    );
    fourth = child;
    let out = '';
    defined(child.stdout, 'its output')
      .setEncoding('utf8')
      .on('data', (text: string) => (out += text));
    await until('the fourth server is ready', () => /^ready/m.test(out));
  }

  async function stopFourth(signal: NodeJS.Signals): Promise<void> {
    if (fourth === undefined || fourth.exitCode !== null || fourth.signalCode !== null) return;
    const ended = once(fourth, 'exit');
    fourth.kill(signal);
    await ended;
  }

  /** Without blocking this process, which writes and reads meanwhile. */
  function node(...args: string[]): Promise<Finished> {
    return new Promise((resolve) => {
      const all = [RINGFS_MAIN, 'node', ...args, '--data', cluster.data, '--json'];
      execFile(process.execPath, all, { env: environment() }, (error, stdout, stderr) => {
        resolve({ status: error === null ? 0 : Number(error.code), stdout, stderr });
      });
    });
  }

  async function carriedOut(...args: string[]): Promise<NodesJson> {
    const { status, stdout, stderr } = await node(...args);
    assert.equal(status, 0, stderr);
    return JSON.parse(stdout) as NodesJson;
  }

  const stateOf = ({ nodes }: NodesJson): string | undefined => nodes.find(({ id }) => id === 's4')?.mode;

  async function refused(pattern: RegExp, ...args: string[]): Promise<void> {
    const { status, stderr } = await node(...args);
    assert.equal(status, 1, stderr);
    assert.match(stderr, pattern);
  }

  it('hands its blocks over: no operation fails and every block is on all of its owners', async () => {
    const written = new Map<string, string>();
    let done = false;
    const writer = async (name: string): Promise<void> => {
      for (let i = 0; !done; i++) {
        const file = cluster.path(`${name}${i}`);
        const data = randomBytes(20_000);
        await writeFile(file, data, { flush: true });
        written.set(file, hash(data));
      }
    };
    const reader = async (): Promise<void> => {
      for (let i = 0; !done; i++) {
        const file = [...written.keys()][(i * 7919) % Math.max(1, written.size)];
        if (file === undefined) await new Promise((resolve) => setImmediate(resolve));
        else assert.equal(hash(await readFile(file)), written.get(file));
      }
    };
    const load = Promise.all([writer('a'), reader()]);
    await until('there are some files', () => written.size > 30);
    await refused(/s4 is alive and takes blocks/, 'remove', 's4');
    assert.equal(stateOf(await carriedOut('drain', 's4')), 'drained');
    const removed = await carriedOut('remove', 's4');
    assert.equal(stateOf(removed), 'removed');
    assert.deepEqual(removed.cost, { lostBlocks: 0, lostBytes: 0, thinBlocks: 0, thinBytes: 0 });
    await stopFourth('SIGTERM');
    const count = written.size;
    await until('the load goes on without it', () => written.size > count + 20);
    done = true;
    await load;
    // Three nodes are left for three copies: each of them has every block.
    await until('every node has every block', () => {
      const rings = ['s1', 's2', 's3'].map((id) => cluster.status().servers.find((s) => s.id === id)?.ring);
      const blocks = new Set(rings.map((ring) => ring?.blocks));
      return (
        blocks.size === 1 && [...blocks][0]! >= written.size && rings.every((r) => r?.underReplicated === 0)
      );
    });
    for (const [file, expected] of written) assert.equal(hash(await readFile(file)), expected);
  });

  it('is told when it starts again, and can be taken back', async () => {
    await startFourth();
    // No other server names it: it is asked itself.
    const told = await until('the removed node says so', () => {
      const { servers } = JSON.parse(ringfs('status', address, '--json').stdout) as StatusJson;
      return servers.find(({ id, health }) => id === 's4' && health === 'degraded');
    });
    assert.match(told.detail, /s4 was removed .* ringfs node add s4/);
    assert.equal(told.ring?.joined, false);
    const { nodes } = await carriedOut('add', 's4');
    const known = nodes.find(({ id }) => id === 's4');
    assert.deepEqual([known?.mode, known?.domain], ['active', 'shelf']);
    await until('four nodes are one ring again', () =>
      cluster.status().servers.every((server) => server.ring?.members === 4),
    );
  });

  it('makes room on the others: they drop what it owns again', async () => {
    const before = cluster.status().servers.map(({ ring }) => ring);
    // Until then, the others have every block.
    const blocks = Math.max(...before.map((ring) => ring?.blocks ?? 0));
    const storedBefore = storedOnOthers(cluster.status());
    const status = await until('every block is on three nodes and no more', () => {
      const now = cluster.status();
      const copies = now.servers.reduce((sum, { ring }) => sum + (ring?.blocks ?? 0), 0);
      const quiet = now.servers.every(({ ring }) => ring?.underReplicated === 0);
      return quiet && copies === 3 * blocks ? now : undefined;
    });
    assert.ok(storedOnOthers(status) < storedBefore, `${storedOnOthers(status)} of ${storedBefore} bytes`);
    const dropped = status.servers.reduce((sum, { ring }) => sum + (ring?.repair?.droppedBlocks ?? 0), 0);
    assert.ok(dropped > 0);
  });

  const storedOnOthers = ({ servers }: StatusJson): number =>
    servers.reduce((sum, { id, ring }) => (id === 's4' ? sum : sum + (ring?.storedBytes ?? 0)), 0);
});
