import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Ino, ROOT_INO } from '../../../src/base/ids.ts';
import { MetaCluster } from '../../support/meta-cluster.ts';
import { bytes, mkdir, mkfile, setXattr } from '../../support/namespace-ops.ts';

const EMPTY = new Uint8Array(0);
const isError = (code: string) => (e: unknown) => (e as { code?: string }).code === code;

describe('a client that does not reach the leader', () => {
  it('reads at a follower, and caches nothing of it', async () => {
    const cluster = new MetaCluster({ relays: false });
    const { timers, network } = cluster;
    const [client, other] = [await cluster.leased('a'), await cluster.leased('b')];
    const dir = (await timers.resolve(other.commit([mkdir(ROOT_INO, 'd')]))).results[0]!.ino as Ino;
    await timers.resolve(other.commit([setXattr(dir, 'user.x', bytes('y'))]));
    network.partition(['a'], ['s1:1']);
    await timers.until(() => client.stats().leader === undefined, 10_000, 'the leader is given up');
    for (const name of ['f', 'g']) {
      await timers.resolve(other.commit([mkfile(dir, name)]));
      assert.ok(await timers.resolve(client.lookup(dir, bytes(name))), 'the newest state');
    }
    assert.equal((await timers.resolve(client.getattr(dir))).size, 2);
    assert.equal((await timers.resolve(client.readdir(dir, EMPTY, 10, true))).entries.length, 2);
    assert.deepEqual((await timers.resolve(client.getChunks(dir, 0, 1))).chunks, []);
    assert.deepEqual(await timers.resolve(client.listxattr(dir)), [bytes('user.x')]);
    assert.deepEqual(await timers.resolve(client.getxattr(dir, bytes('user.x'))), bytes('y'));
    await assert.rejects(timers.resolve(client.getattr(99 as Ino)), isError('ESTALE'));
    const { followerReads, cachedAttrs, cachedDentries } = client.stats();
    assert.deepEqual([followerReads, cachedAttrs, cachedDentries], [8, 0, 0]);

    network.heal();
    await timers.until(() => client.stats().leaseHeld, 10_000, 'the leader is back');
    assert.equal((await timers.resolve(client.getattr(dir))).size, 2);
    assert.equal(client.stats().followerReads, 8);
    await timers.resolve(client.close());
    await timers.resolve(other.close());
  });

  it('is not told by a follower of what another client may still not see', async () => {
    const cluster = new MetaCluster({ relays: false });
    const { timers, network } = cluster;
    const names = ['a', 'b', 'c'];
    const [cut, slow, writer] = await Promise.all(names.map((name) => cluster.leased(name)));
    assert(cut !== undefined && slow !== undefined && writer !== undefined);
    network.partition(['a'], ['s1:1']);
    await timers.until(() => cut.stats().leader === undefined, 10_000, 'the leader is given up');
    await timers.advance(5_000);
    assert.equal(await timers.resolve(slow.lookup(ROOT_INO, bytes('f'))), undefined);
    // Its answer to the recall does not arrive; it may use what it has until its lease ends.
    network.cutOneWay('s1:1', 'b');
    const acknowledged = timers.resolve(writer.commit([mkfile(ROOT_INO, 'f')]));
    const seen = timers.resolve(cut.lookup(ROOT_INO, bytes('f'))).then((attr) => {
      assert.ok(attr);
      return slow.stats().leaseHeld;
    });
    assert.equal(slow.stats().leaseHeld, true);
    assert.equal(await seen, false, 'while the other may use its cache');
    await acknowledged;
  });

  it('waits for it when it is told to, or when nobody leads', async () => {
    const cluster = new MetaCluster({ relays: false });
    const { timers, network } = cluster;
    const client = await cluster.leased('a', { followers: false, operationTimeoutMs: 4_000 });
    const other = await cluster.leased('b', { operationTimeoutMs: 4_000 });
    network.partition(['a'], ['s1:1']);
    await timers.until(() => client.stats().leader === undefined, 10_000, 'the leader is given up');
    await assert.rejects(timers.resolve(client.getattr(ROOT_INO)), isError('ETIMEDOUT'));
    cluster.kill(0);
    await timers.until(() => other.stats().leader === undefined, 10_000, 'the leader is given up');
    await assert.rejects(timers.resolve(other.getattr(ROOT_INO)), isError('ETIMEDOUT'));
    cluster.elect(1);
    assert.equal((await timers.resolve(other.getattr(ROOT_INO))).ino, ROOT_INO);
  });
});
