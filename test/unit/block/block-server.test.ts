import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fromHex } from '../../../src/base/bytes.ts';
import { REPAIR_RETRY_MS, RING_SETTLE_MS } from '../../../src/base/limits.ts';
import { BlockErrorCode } from '../../../src/gen/ringfs/v1/block.ts';
import { BlockCluster, errorCode } from '../../support/block-cluster.ts';
import { blockIdOf, testBlock, testBlocks } from '../../support/test-blocks.ts';

const THREE = ['a', 'b', 'c'] as const;

async function ringOf(names: readonly string[], options = {}): Promise<BlockCluster> {
  const cluster = new BlockCluster(options);
  cluster.start(...names);
  await cluster.untilRing(names);
  return cluster;
}

describe('block server', () => {
  it('three nodes that start at once are one ring within three seconds', async () => {
    const cluster = new BlockCluster({ virtualNodes: 32 });
    cluster.start(...THREE);
    await cluster.untilRing(THREE, 3000);
    await cluster.stop();
  });

  it('a node without others is a ring of one, and stores alone', async () => {
    const cluster = await ringOf(['a']);
    const block = testBlock(1);
    const reply = await cluster.put('a', block);
    assert.deepEqual(reply, { $case: 'put', value: { durableCopies: 1, existed: false } });
    await cluster.stop();
  });

  it('waits for its seeds before it is a ring of its own', async () => {
    const cluster = new BlockCluster();
    cluster.start('a', 'b');
    await cluster.kill('b');
    await cluster.timers.advance(2000);
    assert.equal(errorCode(await cluster.put('a', testBlock(1))), BlockErrorCode.UNAVAILABLE);
    await cluster.timers.advance(2000);
    assert.equal((await cluster.put('a', testBlock(1))).$case, 'put');
    await cluster.stop();
  });

  it('puts on a quorum and in the end on every owner', async () => {
    const cluster = await ringOf(THREE);
    for (const block of testBlocks(20)) {
      const reply = await cluster.put('a', block);
      assert.ok(reply.$case === 'put' && reply.value.durableCopies >= 2, JSON.stringify(reply));
      const again = await cluster.put('b', block);
      assert.ok(again.$case === 'put' && again.value.existed, JSON.stringify(again));
    }
    await cluster.timers.advance(1000);
    for (const block of testBlocks(20)) {
      assert.deepEqual(cluster.holders(block), [...THREE]);
      const got = await cluster.get('c', block);
      assert.ok(got.$case === 'get' && blockIdOf(got.value.data) === block.id);
    }
    await cluster.stop();
  });

  it('with five nodes only owners take a block, all nodes name the same, and the range holds', async () => {
    const names = ['a', 'b', 'c', 'd', 'e'];
    const cluster = await ringOf(names);
    await cluster.timers.advance(3000);
    for (const block of testBlocks(20)) {
      const owners = await cluster.owners('a', block);
      assert.equal(new Set(owners).size, 3);
      for (const name of names) assert.deepEqual(await cluster.owners(name, block), owners);
      const other = names.find((name) => !owners.includes(name))!;
      assert.equal(errorCode(await cluster.put(other, block)), BlockErrorCode.NOT_OWNER);
      assert.equal((await cluster.put(owners[1]!, block)).$case, 'put');
      await cluster.timers.advance(100);
      assert.deepEqual(cluster.holders(block), [...owners].sort());
    }
    await cluster.stop();
  });

  it('refuses content without its hash, blocks that are too large, and bad ids', async () => {
    const cluster = await ringOf(['a']);
    const [one, two] = testBlocks(2);
    assert.equal(errorCode(await cluster.put('a', { id: one!.id, data: two!.data })), BlockErrorCode.INVALID);
    const large = testBlock(3, 4 * 1024 * 1024 + 1);
    assert.equal(errorCode(await cluster.put('a', large)), BlockErrorCode.INVALID);
    const short = await cluster.call('a', { $case: 'get', value: { blockId: new Uint8Array(5) } });
    assert.equal(errorCode(short), BlockErrorCode.INVALID);
    assert.equal(errorCode(await cluster.get('a', one!)), BlockErrorCode.NOT_FOUND);
    assert.equal(cluster.node('a').store.blocks.size, 0);
    await cluster.stop();
  });

  it('refuses another cluster', async () => {
    const cluster = await ringOf(['a']);
    const reply = await cluster.call('a', { $case: 'hello', value: { clusterId: 'other', from: 'me' } });
    assert.equal(errorCode(reply), BlockErrorCode.WRONG_CLUSTER);
    await cluster.stop();
  });

  it('says which blocks are there, lists them, and tells about itself', async () => {
    const cluster = await ringOf(['a']);
    const blocks = testBlocks(5);
    for (const block of blocks) await cluster.put('a', block);
    const ids = [...blocks.map((b) => b.id), testBlock(99).id];
    const has = await cluster.call('a', { $case: 'has', value: { blockIds: ids.map(fromHex) } });
    assert.deepEqual(has, { $case: 'has', value: { present: [true, true, true, true, true, false] } });
    const empty = new Uint8Array(0);
    const list = await cluster.call('a', { $case: 'list', value: { after: empty, until: empty, limit: 3 } });
    assert.ok(list.$case === 'list' && list.value.blockIds.length === 3 && !list.value.end);
    const info = await cluster.call('a', { $case: 'info', value: { withRing: true } });
    assert.ok(info.$case === 'info');
    assert.equal(info.value.blocks, 5);
    assert.equal(info.value.storedBytes, 5000);
    assert.equal(info.value.ring.length, 8);
    assert.ok(Math.abs(info.value.ringShare - 1) < 1e-9);
    await cluster.stop();
  });
});

describe('block server with failures', () => {
  it('with one of three dead puts go through at once', async () => {
    const cluster = await ringOf(THREE);
    await cluster.kill('c');
    for (const block of testBlocks(20)) {
      const before = cluster.timers.nowMs();
      const reply = await cluster.put('a', block);
      assert.ok(reply.$case === 'put', JSON.stringify(reply));
      assert.ok(cluster.timers.nowMs() - before < 100, 'a put waited for the dead node');
    }
    await cluster.stop();
  });

  it('with one of three cut off without a word puts go through, and it is out of the ring soon', async () => {
    const cluster = await ringOf(THREE);
    cluster.network.partition(['c:1'], ['a:1', 'b:1', 'client']);
    for (const block of testBlocks(20)) {
      const before = cluster.timers.nowMs();
      const reply = await cluster.put('a', block);
      assert.ok(reply.$case === 'put', JSON.stringify(reply));
      assert.ok(cluster.timers.nowMs() - before < 100, 'a put waited for the silent node');
    }
    await cluster.untilRing(['a', 'b'], 6000);
    cluster.network.heal();
    await cluster.untilRing(THREE, 30_000);
    await cluster.timers.advance(60_000);
    for (const block of testBlocks(20)) assert.deepEqual(cluster.holders(block), [...THREE]);
    await cluster.stop();
  });

  it('the last of three stores alone, but first waits a moment for the others', async () => {
    const cluster = await ringOf(THREE);
    await cluster.kill('c');
    await cluster.kill('b');
    const before = cluster.timers.nowMs();
    const reply = await cluster.put('a', testBlock(1));
    assert.deepEqual(reply, { $case: 'put', value: { durableCopies: 1, existed: false } });
    assert.ok(cluster.timers.nowMs() - before >= RING_SETTLE_MS, 'it did not wait');
    await cluster.timers.advance(10_000);
    const later = cluster.timers.nowMs();
    await cluster.put('a', testBlock(2));
    assert.ok(cluster.timers.nowMs() - later < 100, 'it still waits for nodes long gone');
    await cluster.stop();
  });

  it('one that is cut off takes nothing while the registry knows that the others live', async () => {
    const cluster = await ringOf(THREE);
    cluster.tellRegistry();
    await cluster.kill('b');
    await cluster.kill('c');
    await cluster.timers.advance(2 * RING_SETTLE_MS);
    const block = testBlock(1);
    assert.equal(errorCode(await cluster.put('a', block)), BlockErrorCode.NO_QUORUM);
    assert.deepEqual(cluster.holders(block), []);
    cluster.tellRegistry({ b: { alive: false }, c: { alive: false } }, ['a']);
    const reply = await cluster.put('a', block);
    assert.deepEqual(reply, { $case: 'put', value: { durableCopies: 1, existed: false } });
    await cluster.stop();
  });

  it('takes nothing before it has heard of the registry, if it is to wait for that', async () => {
    const cluster = await ringOf(['a'], { awaitRegistry: true });
    assert.equal(errorCode(await cluster.put('a', testBlock(1))), BlockErrorCode.UNAVAILABLE);
    cluster.tellRegistry();
    assert.equal((await cluster.put('a', testBlock(1))).$case, 'put');
    await cluster.stop();
  });

  it('a node that comes back gets what it missed', async () => {
    const cluster = await ringOf(THREE);
    await cluster.kill('c');
    const blocks = testBlocks(50);
    for (const block of blocks) await cluster.put('a', block);
    assert.equal(cluster.node('c').store.blocks.size, 0);
    cluster.start('c');
    await cluster.untilRing(THREE);
    await cluster.timers.advance(10_000);
    assert.equal(cluster.node('c').store.blocks.size, 50);
    const infos = await Promise.all(THREE.map((n) => cluster.timers.resolve(cluster.node(n).server.info())));
    assert.equal(
      infos.reduce((sum, i) => sum + i.repaired, 0),
      50,
    );
    assert.deepEqual(
      infos.map((i) => i.underReplicated),
      [0, 0, 0],
    );
    await cluster.stop();
  });

  it('after a loss the remaining nodes make the third copy again', async () => {
    const names = ['a', 'b', 'c', 'd', 'e'];
    const cluster = await ringOf(names);
    const blocks = testBlocks(40);
    for (const block of blocks) await cluster.put((await cluster.owners('a', block))[0]!, block);
    await cluster.kill('b');
    await cluster.untilRing(['a', 'c', 'd', 'e']);
    await cluster.timers.advance(10_000);
    for (const block of blocks) {
      const holders = cluster.holders(block).filter((name) => name !== 'b');
      assert.ok(holders.length >= 3, `block is on ${holders.join()}`);
      for (const owner of await cluster.owners('a', block)) assert.ok(holders.includes(owner));
    }
    await cluster.stop();
  });

  it('a graceful stop is noticed at once', async () => {
    const cluster = await ringOf(THREE);
    const { server } = cluster.node('b');
    await cluster.timers.resolve(server.stop());
    await cluster.untilRing(['a', 'c'], 1000);
    await cluster.stop();
  });

  it('a stop does not wait for an owner that does not answer', async () => {
    const cluster = await ringOf(THREE);
    await cluster.put('a', testBlock(1));
    let asked = false;
    cluster.network.onDeliver = ({ from, to, kind, body }) => {
      if (from !== 'a:1' || to !== 'c:1' || kind !== 'request' || body.$case !== 'has') return true;
      asked = true;
      return false;
    };
    await cluster.timers.until(() => asked, 120_000, 'a walk that asks c');
    const before = cluster.timers.nowMs();
    await cluster.timers.resolve(cluster.node('a').server.stop());
    assert.ok(cluster.timers.nowMs() - before < 1000, 'it waited');
    await cluster.stop();
  });

  it('a block that is deleted while it is being repaired is not one that lacks a copy', async () => {
    const cluster = await ringOf(THREE);
    const block = testBlock(1);
    await cluster.put('a', block);
    await cluster.timers.advance(1000);
    const copies = THREE.map((name) => cluster.node(name).store.blocks);
    cluster.node('c').store.blocks.delete(block.id);
    let asked = 0;
    cluster.network.onDeliver = ({ to, kind, body }) => {
      // The second question comes before the copy is sent, and by then it is gone everywhere.
      if (to === 'c:1' && kind === 'request' && body.$case === 'has' && ++asked >= 2)
        for (const blocks of copies) blocks.delete(block.id);
      return true;
    };
    await cluster.timers.until(() => asked >= 2, 120_000, 'a walk that finds it missing');
    await cluster.timers.advance(1000);
    for (const name of THREE) {
      const { underReplicated } = await cluster.timers.resolve(cluster.node(name).server.info());
      assert.equal(underReplicated, 0, name);
    }
    await cluster.stop();
  });

  it('what could not be copied is tried again soon, however long the walk took that found it', async () => {
    const cluster = await ringOf(THREE);
    await cluster.kill('c');
    const [bad, ...others] = testBlocks(40);
    for (const block of [bad!, ...others]) await cluster.put('a', block);
    const { store } = cluster.node('c');
    let broken = true;
    store.beforePut = async (id) => {
      if (id === bad!.id && broken) throw new Error('not now');
      await cluster.timers.sleep(1000);
    };
    cluster.start('c');
    await cluster.timers.until(() => store.blocks.size === others.length, 60_000, 'c has the others');
    await cluster.timers.advance(2 * REPAIR_RETRY_MS);
    assert.ok(!store.blocks.has(bad!.id));
    const lacking = async (): Promise<number> => {
      const infos = await Promise.all(
        ['a', 'b'].map((n) => cluster.timers.resolve(cluster.node(n).server.info())),
      );
      return infos.reduce((sum, info) => sum + info.underReplicated, 0);
    };
    assert.equal(await lacking(), 1);
    broken = false;
    await cluster.timers.advance(REPAIR_RETRY_MS + 2000);
    assert.ok(store.blocks.has(bad!.id), 'it was not tried again');
    assert.equal(await lacking(), 0);
    await cluster.stop();
  });

  it('says no-space when the owners are full, and no-quorum for other failures', async () => {
    const cluster = await ringOf(THREE);
    for (const name of THREE) cluster.node(name).store.capacityBytes = 500;
    assert.equal(errorCode(await cluster.put('a', testBlock(1))), BlockErrorCode.NO_SPACE);
    cluster.node('a').store.capacityBytes = 1e9;
    cluster.node('b').store.capacityBytes = 1e9;
    const reply = await cluster.put('a', testBlock(1));
    assert.ok(reply.$case === 'put' && reply.value.durableCopies === 2);
    for (const name of ['b', 'c'] as const) {
      cluster.node(name).store.beforePut = () => Promise.reject(new Error('disk on fire'));
    }
    assert.equal(errorCode(await cluster.put('a', testBlock(2))), BlockErrorCode.NO_QUORUM);
    await cluster.stop();
  });

  it('replaces a corrupt copy when the block is put again', async () => {
    const cluster = await ringOf(THREE);
    const block = testBlock(1);
    await cluster.put('a', block);
    await cluster.timers.advance(100);
    cluster.node('b').store.corrupt(block.id);
    await cluster.put('b', block);
    assert.deepEqual(cluster.node('b').store.blocks.get(block.id), block.data);
    const info = await cluster.timers.resolve(cluster.node('b').server.info());
    assert.equal(info.corruptFound, 1);
    await cluster.stop();
  });

  it('does not spread a corrupt copy, and replaces it by a good one', async () => {
    const cluster = await ringOf(THREE);
    const blocks = testBlocks(10);
    for (const block of blocks) await cluster.put('a', block);
    await cluster.timers.advance(100);
    for (const block of blocks) {
      const [first, , third] = await cluster.owners('a', block);
      cluster.node(first!).store.corrupt(block.id);
      cluster.node(third!).store.blocks.delete(block.id);
    }
    await cluster.timers.advance(200_000);
    for (const block of blocks) {
      for (const name of THREE) assert.deepEqual(cluster.node(name).store.blocks.get(block.id), block.data);
    }
    await cluster.stop();
  });

  it('finds corrupt copies that nobody reads', async () => {
    const cluster = await ringOf(THREE, { scrubIntervalMs: 5000 });
    const blocks = testBlocks(5);
    for (const block of blocks) await cluster.put('a', block);
    await cluster.timers.advance(100);
    for (const block of blocks) cluster.node('b').store.corrupt(block.id);
    await cluster.timers.advance(10_000);
    for (const block of blocks) {
      assert.deepEqual(cluster.node('b').store.blocks.get(block.id), block.data);
    }
    assert.equal((await cluster.timers.resolve(cluster.node('b').server.info())).corruptFound, 5);
    await cluster.stop();
  });

  it('rings that were apart find together', async () => {
    const cluster = new BlockCluster();
    const left = ['a', 'b', 'c'];
    const right = ['d', 'e', 'f'];
    const addresses = (names: string[]): string[] => names.map((n) => `${n}:1`);
    cluster.network.partition(addresses(left), addresses(right));
    cluster.start(...left, ...right);
    await cluster.untilRing(left, 20_000);
    await cluster.untilRing(right, 20_000);
    const [one, two] = testBlocks(2);
    await cluster.put((await cluster.owners('a', one!))[0]!, one!);
    await cluster.put((await cluster.owners('d', two!))[0]!, two!);
    cluster.network.heal();
    await cluster.untilRing([...left, ...right], 60_000);
    await cluster.timers.advance(20_000);
    for (const block of [one!, two!]) {
      const holders = cluster.holders(block);
      for (const owner of await cluster.owners('a', block)) assert.ok(holders.includes(owner));
    }
    await cluster.stop();
  });
});
