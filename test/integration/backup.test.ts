import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { environment, RINGFS_MAIN, ringfs, sh, TestCluster, until } from '../support/test-cluster.ts';

interface CheckJson {
  readonly findingCount: number;
  readonly namespace: { readonly inodes: number; readonly entries: number };
}

describe('backup and recovery of the metadata', () => {
  const source = path.resolve(import.meta.dirname, '../../src/cli');
  let cluster: TestCluster;
  let dump = '';
  const servers: ChildProcess[] = [];
  before(async () => {
    cluster = await TestCluster.start();
    dump = path.join(cluster.data, 'cluster.dump');
  });
  after(async () => {
    for (const server of servers) await kill(server);
    await cluster.remove();
  });

  const done = (...args: string[]): string => {
    const { status, stdout, stderr } = ringfs(...args);
    assert.equal(status, 0, stderr);
    return stdout;
  };
  const refused = (pattern: RegExp, ...args: string[]): void => {
    const { status, stderr, stdout } = ringfs(...args);
    assert.equal(status, 1, stdout);
    assert.match(stderr, pattern);
  };
  const check = (...args: string[]): CheckJson =>
    JSON.parse(done('meta', 'check', ...args, '--json')) as CheckJson;
  const dataOf = (id: string): string => path.join(cluster.data, id);
  const peers = (): string => cluster.addresses.map((address, i) => `s${i + 1}=${address}`).join(',');

  it('dumps a cluster while it is written to', async () => {
    sh(
      `cp -r ${source} ${cluster.path('kept')} && ln ${cluster.path('kept', 'main.js')} '${cluster.path('second name')}'`,
    );
    sh(`sync -f ${cluster.mount}`);
    const writer = spawn('sh', [
      '-c',
      `i=0; while :; do i=$((i+1)); echo $i > ${cluster.path('later')}$i; done`,
    ]);
    await until('files are made', () => sh(`ls ${cluster.mount}`).includes('later20'));
    done('meta', 'dump', '--data', cluster.data, '--out', dump);
    await kill(writer);
    assert.equal(check('--dump', dump).findingCount, 0);
    const follower = cluster.status().servers.find(({ raft }) => raft?.role === 'follower');
    assert.ok(follower);
    writeFileSync(cluster.path('just now'), 'x');
    const json = done(
      'meta',
      'dump',
      '--data',
      cluster.data,
      '--out',
      `${dump}.f`,
      '--from',
      follower.id,
      '--json',
    );
    assert.equal((JSON.parse(json) as { from: string }).from, follower.id);
    assert.ok(check('--dump', `${dump}.f`).namespace.entries > check('--dump', dump).namespace.entries);
    refused(/no member/, 'meta', 'dump', '--data', cluster.data, '--out', `${dump}.g`, '--from', 's9');
    refused(/exists/, 'meta', 'dump', '--data', cluster.data, '--out', dump);
  });

  it('leaves the data of a running server alone', () => {
    refused(/in use by another process/, 'meta', 'check', '--data', dataOf('s1'));
    refused(/in use by another process/, 'meta', 'recover', '--data', dataOf('s1'), '--force-new-cluster');
    refused(/has metadata/, 'meta', 'load', dump, '--data', dataOf('s1'), '--id', 's1', '--peers', peers());
  });

  it('checks and dumps a stopped server, and says what is wrong with a bad dump', async () => {
    await cluster.stop();
    for (const id of ['s1', 's2', 's3']) assert.equal(check('--data', dataOf(id)).findingCount, 0);
    refused(/holds those of several/, 'meta', 'check', '--data', cluster.data);
    done('meta', 'dump', '--data', dataOf('s2'), '--out', `${dump}.s2`);
    assert.ok(check('--dump', `${dump}.s2`).namespace.inodes >= check('--dump', dump).namespace.inodes);
    const bytes = readFileSync(dump);
    bytes[bytes.length >> 1]! ^= 1;
    writeFileSync(`${dump}.bad`, bytes);
    refused(/wrong checksum/, 'meta', 'check', '--dump', `${dump}.bad`);
    const fresh = path.join(cluster.data, 'fresh');
    refused(
      /wrong checksum/,
      'meta',
      'load',
      `${dump}.bad`,
      '--data',
      fresh,
      '--id',
      's1',
      '--peers',
      peers(),
    );
    assert.equal(sh(`ls -A ${fresh}`), '', 'nothing is left of a load that failed');
  });

  it('comes back from a dump, with the blocks that are there', async () => {
    for (const id of ['s1', 's2', 's3']) {
      renameSync(path.join(dataOf(id), 'meta'), path.join(cluster.data, `old-${id}`));
      const load = ['meta', 'load', dump, '--data', dataOf(id), '--id', id, '--peers', peers()];
      refused(/is not empty/, ...load);
      done(...load, '--beside-blocks');
      assert.equal(check('--data', dataOf(id)).findingCount, 0);
    }
    await cluster.up();
    sh(`diff -r ${source} ${cluster.path('kept')} && cmp ${source}/main.js '${cluster.path('second name')}'`);
    sh(`echo after > ${cluster.path('after')} && sync -f ${cluster.mount}`);
  });

  it('goes on with one server when the others are lost, and takes in new ones', async () => {
    await cluster.healthy();
    await cluster.killEverything();
    sh(`umount -l ${cluster.mount}`);
    refused(/nothing was changed/, 'meta', 'recover', '--data', dataOf('s2'));
    assert.match(
      done('meta', 'recover', '--data', dataOf('s2'), '--force-new-cluster'),
      /s2 is the only member now/,
    );
    const [, address2, address3] = cluster.addresses as [string, string, string];
    renameSync(path.join(dataOf('s3'), 'meta'), path.join(cluster.data, 'lost-s3'));
    servers.push(
      await startServer('--id', 's2', '--listen', address2, '--data', dataOf('s2'), '--peers', peers()),
    );
    servers.push(
      await startServer('--id', 's3', '--listen', address3, '--data', dataOf('s3'), '--join', address2),
    );
    done('cluster', 'add', `s3=${address3}`, '--servers', address2);
    done('mount', `${address2},${address3}`, cluster.mount);
    try {
      sh(`diff -r ${source} ${cluster.path('kept')} && grep -q after ${cluster.path('after')}`);
      sh(`echo more > ${cluster.path('more')} && sync -f ${cluster.mount}`);
    } finally {
      ringfs('umount', cluster.mount);
    }
    for (const server of servers.splice(0)) await kill(server);
    for (const id of ['s2', 's3']) assert.equal(check('--data', dataOf(id)).findingCount, 0);
  });
});

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

async function startServer(...args: string[]): Promise<ChildProcess> {
  const child = spawn(process.execPath, [RINGFS_MAIN, 'server', ...args], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: environment(),
  });
  let out = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  await until(`${args[1]} is ready`, () => /^ready/m.test(out));
  return child;
}
