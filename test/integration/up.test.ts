import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { isAlive, ringfs, sh, TestCluster, until } from '../support/test-cluster.ts';

describe('ringfs up', () => {
  let cluster: TestCluster;
  before(async () => {
    cluster = await TestCluster.start();
  });
  after(() => cluster.remove());

  it('prints one line that begins with ready, and mounts', () => {
    assert.match(cluster.readyLine, /^ready/);
    assert.match(sh('cat /proc/self/mountinfo'), new RegExp(`${cluster.mount} .* fuse`));
  });

  it('says in status who leads, and that all servers are in the ring', async () => {
    const status = await cluster.healthy();
    assert.equal(status.servers.length, 3);
    assert.equal(status.servers.filter((server) => server.raft?.role === 'leader').length, 1);
    for (const server of status.servers) {
      assert.ok(server.pid !== null && isAlive(server.pid));
      assert.deepEqual(server.roles, ['meta', 'block']);
      assert.ok((server.raft?.term ?? 0) >= 1);
    }
    await until('every server knows all three of the ring', () =>
      cluster.status().servers.every((server) => server.ring?.members === 3),
    );
    const shares = cluster.status().servers.map((server) => server.ring?.share ?? 0);
    assert.ok(Math.abs(shares.reduce((a, b) => a + b) - 1) < 1e-6, `shares ${shares.join(' ')}`);
  });

  it('prints a table without --json', () => {
    const { status, stdout } = ringfs('status', '--data', cluster.data);
    assert.equal(status, 0);
    assert.match(stdout, /s1 .*127\.0\.0\.1/);
    assert.match(stdout, /ok: 3 of 3 servers healthy/);
  });

  it('copies a source tree in, and diff agrees', () => {
    const source = path.resolve(import.meta.dirname, '../../../src');
    sh(`cp -a ${source} ${cluster.path('src')} && diff -r ${source} ${cluster.path('src')}`);
  });

  it('has everything there after it was stopped and started again', async () => {
    mkdirSync(cluster.path('kept'));
    writeFileSync(cluster.path('kept', 'small'), 'hello');
    const big = Buffer.alloc(9 << 20, 'ringfs ');
    writeFileSync(cluster.path('kept', 'big'), big);
    assert.equal(await cluster.stop(), 0);
    assert.deepEqual(readdirSync(cluster.mount), []);
    await cluster.up();
    assert.equal(readFileSync(cluster.path('kept', 'small'), 'utf8'), 'hello');
    assert.ok(readFileSync(cluster.path('kept', 'big')).equals(big));
  });

  it('leaves no process and no mount behind', async () => {
    const pids = cluster.status().servers.map((server) => server.pid ?? 0);
    assert.equal(await cluster.stop(), 0);
    assert.deepEqual(pids.filter(isAlive), []);
    assert.ok(!existsSync(path.join(cluster.data, 'run.json')));
    await cluster.up();
  });
});

describe('ringfs up --detach', () => {
  it('returns when it is ready, and ringfs down ends it', async () => {
    const cluster = await TestCluster.start('--nodes', '1');
    try {
      await cluster.stop();
      const up = ringfs('up', '--data', cluster.data, '--mount', cluster.mount, '--detach');
      assert.equal(up.status, 0, up.stderr);
      assert.match(up.stdout, /^ready/);
      writeFileSync(cluster.path('file'), 'x');
      const again = ringfs('up', '--data', cluster.data, '--mount', cluster.mount);
      assert.equal(again.status, 1);
      assert.match(again.stderr, /in use by running processes.*\n.*ringfs down/);
      const down = ringfs('down', '--data', cluster.data, '--json');
      assert.equal(down.status, 0, down.stderr);
      assert.equal((JSON.parse(down.stdout) as { stopped: number[] }).stopped.length, 3);
      assert.equal(ringfs('down', '--data', cluster.data).status, 0);
    } finally {
      await cluster.remove();
    }
  });
});
