import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Ino, ROOT_INO } from '../../../src/base/ids.ts';
import { LEASE_TTL_MS, SESSION_TTL_MS } from '../../../src/base/limits.ts';
import type { MetaClient } from '../../../src/client/meta-client.ts';
import { MetaCluster } from '../../support/meta-cluster.ts';
import { mkdir, mkfile } from '../../support/namespace-ops.ts';

interface Cut {
  readonly cluster: MetaCluster;
  readonly client: MetaClient;
  readonly other: MetaClient;
}

/** Two clients, of which one does not reach the leader, s1, and works through a follower. */
async function cutOff(): Promise<Cut> {
  const cluster = new MetaCluster();
  const [client, other] = [await cluster.leased('a'), await cluster.leased('b')];
  cluster.network.partition(['a'], ['s1:1']);
  await cluster.timers.until(() => client.stats().leader !== 's1:1', 10_000, 'the leader is given up');
  await cluster.timers.until(() => client.stats().leaseHeld, 10_000, 'a lease through a follower');
  return { cluster, client, other };
}

describe('a client that reaches followers and not the leader', () => {
  it('works through one of them, with leases and recalls', async () => {
    const { cluster, client, other } = await cutOff();
    const { timers } = cluster;
    assert.match(client.stats().leader ?? '', /^s[23]:1$/);
    const dir = (await timers.resolve(client.commit([mkdir(ROOT_INO, 'd')]))).results[0]!.ino as Ino;
    assert.equal((await timers.resolve(other.getattr(dir))).size, 0);
    for (const name of ['f', 'g', 'h']) {
      const before = (await timers.resolve(client.getattr(dir))).size;
      const { cacheHits } = client.stats();
      await timers.resolve(client.getattr(dir));
      assert.equal(client.stats().cacheHits, cacheHits + 1, 'answered from the cache');
      await timers.resolve(other.commit([mkfile(dir, name)]));
      assert.equal((await timers.resolve(client.getattr(dir))).size, before + 1, 'recalled');
    }
    assert.equal(cluster.leader?.server.stats().recallsExpired, 0);
    await timers.resolve(client.close());
    await timers.resolve(other.close());
  });

  it('keeps its session for as long as that lasts, and goes back to the leader', async () => {
    const { cluster, client } = await cutOff();
    const { timers, network } = cluster;
    const opened = cluster.leader?.server.stats().sessions;
    await timers.advance(2 * SESSION_TTL_MS);
    const { leaderChanges } = client.stats();
    assert.ok(leaderChanges <= 3, `found a leader ${leaderChanges} times`);
    network.heal();
    await timers.until(() => client.stats().leader === 's1:1', 5_000, 'the leader itself');
    await timers.resolve(client.commit([mkfile(ROOT_INO, 'f')]));
    assert.equal(cluster.leader?.server.stats().sessions, opened);
    const carried = cluster.members.map(({ server }) => server.stats().streamsRelayed);
    assert.deepEqual(carried, [0, 0, 0]);
  });

  it('takes another when that one dies', async () => {
    const { cluster, client } = await cutOff();
    const { timers } = cluster;
    const first = client.stats().leader;
    cluster.kill(cluster.members.findIndex(({ address }) => address === first));
    await timers.resolve(client.commit([mkfile(ROOT_INO, 'f')]));
    assert.notEqual(client.stats().leader, first);
  });

  it('goes to a new leader that it reaches', async () => {
    const { cluster, client } = await cutOff();
    const { timers } = cluster;
    const carrier = client.stats().leader;
    cluster.elect(cluster.members.findIndex(({ address }) => address === carrier));
    await timers.resolve(client.commit([mkfile(ROOT_INO, 'f')]));
    await timers.advance(LEASE_TTL_MS);
    assert.deepEqual([client.stats().leader, client.stats().leaseHeld], [carrier, true]);
  });

  it('waits when they do not reach the leader either', async () => {
    const cluster = new MetaCluster();
    const { timers, network } = cluster;
    const client = await cluster.leased('a', { operationTimeoutMs: 20_000 });
    network.partition(['a', 's2:1', 's3:1'], ['s1:1']);
    const pending = timers.resolve(client.commit([mkfile(ROOT_INO, 'f')]));
    await timers.advance(10_000);
    assert.equal(client.stats().leader, undefined);
    network.heal();
    await pending;
  });
});
