import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { defined } from '../../src/base/assert.ts';
import { Scrape } from '../support/prometheus-text.ts';
import { freePorts, ringfs, TestCluster, until } from '../support/test-cluster.ts';

const SERVERS = ['s1', 's2', 's3'];
const DOCUMENT = path.resolve(import.meta.dirname, '../../../docs/metrics.md');

describe('metrics of a running cluster', () => {
  let cluster: TestCluster;
  let addresses: string[] = [];
  let mount = '';
  let gateway = '';
  before(async () => {
    cluster = await TestCluster.startWithMetrics();
    addresses = cluster.metrics.slice(0, SERVERS.length);
    mount = defined(cluster.metrics[SERVERS.length], 'where the mount is');
    gateway = defined(cluster.metrics[SERVERS.length + 1], 'where the gateway is');
  });
  after(() => cluster.remove());

  it('agree with ringfs status', async () => {
    writeFileSync(cluster.path('file'), Buffer.alloc(2 ** 20, 7), { flush: true });
    // Followers hear of a commit a little later.
    await until('the servers say the same as their metrics', async () => {
      const scrapes = await Promise.all(addresses.map((address) => Scrape.of(address)));
      const { servers, leader } = cluster.status();
      return SERVERS.every((id, i) => {
        const scrape = defined(scrapes[i], 'a scrape');
        const raft = servers[i]?.raft;
        const ring = servers[i]?.ring;
        return (
          servers[i]?.id === id &&
          scrape.labels('ringfs_server_info')?.['id'] === id &&
          scrape.value('ringfs_healthy') === 1 &&
          scrape.value('ringfs_raft_term') === raft?.term &&
          scrape.value('ringfs_raft_commit_index') === raft?.commitIndex &&
          scrape.value('ringfs_raft_applied_index') === raft?.appliedIndex &&
          scrape.value('ringfs_raft_is_leader') === (id === leader ? 1 : 0) &&
          scrape.value('ringfs_ring_members') === SERVERS.length &&
          scrape.value('ringfs_blocks') === ring?.blocks &&
          ring?.blocks === 1 &&
          scrape.value('ringfs_blocks_stored_bytes') === 2 ** 20 &&
          scrape.value('ringfs_blocks_under_replicated') === 0
        );
      });
    });
  });

  it('count what was done', async () => {
    const { leader } = cluster.status();
    const address = defined(addresses[SERVERS.indexOf(leader ?? '')], 'the leader');
    const before = { leader: await Scrape.of(address), mount: await Scrape.of(mount) };
    for (let i = 0; i < 10; i++) writeFileSync(cluster.path(`counted-${i}`), '');
    assert.throws(() => readFileSync(cluster.path('absent')), { code: 'ENOENT' });
    const now = { leader: await Scrape.of(address), mount: await Scrape.of(mount) };
    const more = (which: 'leader' | 'mount', name: string, labels: Record<string, string> = {}): number =>
      (now[which].value(name, labels) ?? 0) - (before[which].value(name, labels) ?? 0);
    assert.ok(more('leader', 'ringfs_commits_total', { outcome: 'ok' }) >= 10);
    assert.ok(more('leader', 'ringfs_commit_duration_seconds_count') >= 10);
    assert.ok(more('leader', 'ringfs_commit_duration_seconds_sum') > 0);
    assert.ok(more('leader', 'ringfs_raft_log_write_duration_seconds_count') >= 10);
    const create = { operation: 'create' };
    assert.equal(more('mount', 'ringfs_fuse_requests_total', { ...create, errno: 'ok' }), 10);
    assert.equal(more('mount', 'ringfs_fuse_request_duration_seconds_count', create), 10);
    assert.ok(more('mount', 'ringfs_fuse_requests_total', { operation: 'lookup', errno: 'ENOENT' }) >= 1);
    assert.ok(more('mount', 'ringfs_mount_commits_total') >= 10);
    const block = addresses.map(async (at) =>
      (await Scrape.of(at)).value('ringfs_block_requests_total', { kind: 'put', outcome: 'ok' }),
    );
    assert.ok((await Promise.all(block)).some((puts) => (puts ?? 0) > 0));
  });

  it('are all documented, and what is documented is there', async () => {
    const scrapes = await Promise.all([...addresses, mount, gateway].map((address) => Scrape.of(address)));
    const told = new Set(scrapes.flatMap((scrape) => [...scrape.types.keys()]));
    const ours = [...told].filter((name) => name.startsWith('ringfs_'));
    const text = readFileSync(DOCUMENT, 'utf8');
    const documented = [...text.matchAll(/^\| `(ringfs_\w+)` /gm)].map(([, name]) => name);
    assert.deepEqual([...ours].sort(), documented.sort());
  });

  it('say that all is well', async () => {
    for (const address of [...addresses, mount, gateway]) {
      const response = await fetch(`http://${address}/healthz`);
      assert.deepEqual([response.status, await response.text()], [200, 'ok\n']);
    }
  });

  it('of a mount in the background are where the flag says', async () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'ringfs-metrics-'));
    const address = `127.0.0.1:${await freePorts(1)}`;
    const mounted = ringfs('mount', cluster.addresses.join(','), dir, '-o', `metrics_listen=${address}`);
    assert.equal(mounted.status, 0, mounted.stderr);
    try {
      const info = (await Scrape.of(address)).labels('ringfs_mount_info');
      assert.deepEqual(info, { mount_point: dir, driver: info?.['driver'] });
    } finally {
      assert.equal(ringfs('umount', dir).status, 0);
      rmdirSync(dir);
    }
  });

  it('a port that is taken is named, with what to do', async () => {
    const other = createServer();
    const port = await freePorts(1);
    await new Promise<void>((resolve) => other.listen({ host: '127.0.0.1', port }, resolve));
    try {
      const dir = mkdtempSync(path.join(tmpdir(), 'ringfs-metrics-'));
      const taken = `127.0.0.1:${port}`;
      const mounted = ringfs('mount', cluster.addresses.join(','), dir, '-f', '--metrics-listen', taken);
      assert.equal(mounted.status, 1);
      assert.match(
        mounted.stderr,
        new RegExp(
          `cannot listen on ${taken} for metrics: another process uses the port\n.*--metrics-listen`,
        ),
      );
      rmdirSync(dir);
      const args = [
        '--id',
        'x',
        '--data',
        path.join(cluster.data, 'x'),
        '--listen',
        `127.0.0.1:${await freePorts(1)}`,
      ];
      const server = ringfs(
        'server',
        ...args,
        '--join',
        defined(cluster.addresses[0], 'a server'),
        '--metrics-listen',
        taken,
      );
      assert.equal(server.status, 1);
      assert.match(server.stderr, /another process uses the port/);
      const up = ringfs(
        'up',
        '--data',
        path.join(cluster.data, 'y'),
        '--base-port',
        String(await freePorts(3)),
        '--metrics-base-port',
        String(port - 1),
      );
      assert.equal(up.status, 1);
      assert.match(up.stderr, /port \d+ for metrics is in use\n.*--metrics-base-port/);
    } finally {
      other.close();
    }
  });

  it('an address that is none, or not of this machine, is refused', () => {
    const elsewhere = ringfs('mount', cluster.addresses.join(','), '/nowhere', '--metrics-listen', '7480');
    assert.deepEqual(
      [elsewhere.status, /--metrics-listen: '7480' is not an address/.test(elsewhere.stderr)],
      [2, true],
    );
    const args = ['--id', 'x', '--data', path.join(cluster.data, 'x'), '--listen', '127.0.0.1:1'];
    const join = ['--join', defined(cluster.addresses[0], 'a server')];
    const server = ringfs('server', ...args, ...join, '--metrics-listen', '203.0.113.1:7480');
    assert.equal(server.status, 1);
    assert.match(
      server.stderr,
      /cannot listen on 203\.0\.113\.1:7480 for metrics: the address is not of this machine/,
    );
  });
});
