import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { WalkProgress } from '../../../src/block/drain.ts';
import { BlockErrorCode, type NodeInfo } from '../../../src/gen/ringfs/v1/block.ts';
import { BlockNodeMode } from '../../../src/gen/ringfs/v1/namespace.ts';
import { BlockCluster, errorCode } from '../../support/block-cluster.ts';
import { type TestBlock, testBlocks } from '../../support/test-blocks.ts';

const DRAINING = { mode: BlockNodeMode.DRAINING };

async function ringOf(names: readonly string[], options = {}): Promise<BlockCluster> {
  const cluster = new BlockCluster(options);
  cluster.start(...names);
  await cluster.untilRing(names);
  cluster.tellRegistry();
  await cluster.timers.advance(3000);
  return cluster;
}

async function putAll(cluster: BlockCluster, blocks: readonly TestBlock[]): Promise<void> {
  for (const block of blocks) {
    const reply = await cluster.put((await cluster.owners('a', block))[0]!, block);
    assert.equal(reply.$case, 'put');
  }
  await cluster.timers.advance(100);
}

const infoOf = (cluster: BlockCluster, name: string): Promise<NodeInfo> =>
  cluster.timers.resolve(cluster.node(name).server.info());

describe('a draining block node', () => {
  it('owns nothing, takes nothing, gives what it has, and is done when all is with the new owners', async () => {
    const cluster = await ringOf(['a', 'b', 'c', 'd', 'e']);
    const blocks = testBlocks(60);
    await putAll(cluster, blocks);
    const held = blocks.filter((block) => cluster.holders(block).includes('b'));
    const copiesBefore = blocks.reduce((sum, block) => sum + cluster.holders(block).length, 0);
    cluster.tellRegistry({ b: DRAINING });
    assert.deepEqual((await infoOf(cluster, 'b')).drain, {
      blocksLeft: held.length,
      bytesLeft: held.reduce((sum, { data }) => sum + data.length, 0),
      done: false,
    });
    for (const block of blocks) {
      for (const name of ['a', 'b', 'd']) assert.ok(!(await cluster.owners(name, block)).includes('b'));
      assert.equal(errorCode(await cluster.put('b', block)), BlockErrorCode.NOT_OWNER);
    }
    for (const block of held) assert.equal((await cluster.get('b', block)).$case, 'get');
    await cluster.timers.advance(10_000);
    // Nothing is left, but not all nodes are known to place blocks without it.
    assert.deepEqual((await infoOf(cluster, 'b')).drain, { blocksLeft: 0, bytesLeft: 0, done: false });
    cluster.tellRegistry({ b: { ...DRAINING, agreed: true } });
    await cluster.timers.advance(10_000);
    assert.deepEqual((await infoOf(cluster, 'b')).drain, { blocksLeft: 0, bytesLeft: 0, done: true });
    for (const block of blocks) {
      const owners = await cluster.owners('a', block);
      assert.equal(owners.length, 3);
      for (const owner of owners) assert.ok(cluster.holders(block).includes(owner));
    }
    const infos = await Promise.all(['a', 'b', 'c', 'd', 'e'].map((name) => infoOf(cluster, name)));
    const sent = infos.reduce((sum, info) => sum + (info.repair?.copiedBlocks ?? 0), 0);
    const copies = blocks.reduce((sum, block) => sum + cluster.holders(block).length, 0);
    assert.ok(copies - copiesBefore >= held.length, 'a new copy of each of its blocks');
    assert.equal(sent, copies - copiesBefore, 'none was sent twice');
    await cluster.stop();
  });

  it('is not done while an owner that it waits for is away', async () => {
    const cluster = await ringOf(['a', 'b', 'c', 'd']);
    const blocks = testBlocks(20);
    await putAll(cluster, blocks);
    const full = (): Promise<never> => Promise.reject(new Error('disk on fire'));
    cluster.node('c').store.beforePut = full;
    cluster.tellRegistry({ b: { ...DRAINING, agreed: true } });
    await cluster.timers.advance(30_000);
    const { drain } = await infoOf(cluster, 'b');
    assert.ok(drain?.done === false && drain.blocksLeft > 0, JSON.stringify(drain));
    cluster.node('c').store.beforePut = () => Promise.resolve();
    await cluster.timers.advance(60_000);
    assert.equal((await infoOf(cluster, 'b')).drain?.done, true);
    await cluster.stop();
  });

  it('taken back, it owns what it owned, and nothing is copied', async () => {
    const cluster = await ringOf(['a', 'b', 'c', 'd']);
    const blocks = testBlocks(20);
    await putAll(cluster, blocks);
    const before = await Promise.all(blocks.map((block) => cluster.owners('a', block)));
    cluster.tellRegistry({ b: { ...DRAINING, agreed: true } });
    await cluster.timers.advance(10_000);
    const copied = async (): Promise<number> => {
      const infos = await Promise.all(['a', 'b', 'c', 'd'].map((name) => infoOf(cluster, name)));
      return infos.reduce((sum, info) => sum + (info.repair?.copiedBlocks ?? 0), 0);
    };
    const sent = await copied();
    cluster.tellRegistry();
    await cluster.timers.advance(10_000);
    assert.deepEqual(await Promise.all(blocks.map((block) => cluster.owners('a', block))), before);
    assert.equal(await copied(), sent);
    assert.equal((await infoOf(cluster, 'b')).drain, undefined);
    await cluster.stop();
  });

  it('puts do not wait for nodes that drain', async () => {
    const cluster = await ringOf(['a', 'b', 'c', 'd']);
    cluster.tellRegistry({ b: DRAINING, c: DRAINING, d: DRAINING });
    const before = cluster.timers.nowMs();
    for (const block of testBlocks(5)) {
      assert.deepEqual(await cluster.put('a', block), {
        $case: 'put',
        value: { durableCopies: 1, existed: false },
      });
    }
    assert.ok(cluster.timers.nowMs() - before < 200);
    await cluster.stop();
  });

  it('tells of failure domains, and warns when there are fewer than copies', async () => {
    const cluster = await ringOf(['a', 'b', 'c', 'd']);
    assert.equal((await infoOf(cluster, 'a')).domains, undefined);
    const racks = { a: { domain: 'x' }, b: { domain: 'x' }, c: { domain: 'y' }, d: { domain: 'z' } };
    cluster.tellRegistry(racks);
    assert.equal((await infoOf(cluster, 'a')).domains, 3);
    for (const block of testBlocks(20)) {
      const owners = await cluster.owners('a', block);
      assert.ok(owners.includes('c') && owners.includes('d'), owners.join());
    }
    const { logger } = cluster.node('a');
    const warned = (): number =>
      logger.lines.filter((record) => /fewer failure domains/.test(record.message)).length;
    assert.equal(warned(), 0);
    cluster.tellRegistry({ ...racks, d: { domain: 'z', alive: false } });
    cluster.tellRegistry({ ...racks, d: { domain: 'z', alive: false } });
    assert.equal((await infoOf(cluster, 'a')).domains, 2);
    assert.equal(warned(), 1);
    await cluster.stop();
  });
});

describe('progress of a drain', () => {
  const amount = (blocks: number) => ({ blocks, bytes: blocks * 10 });
  const left = (blocks: number, done = false) => ({ blocksLeft: blocks, bytesLeft: blocks * 10, done });

  it('is everything at first, then what walks have found', () => {
    const progress = new WalkProgress();
    assert.equal(progress.progress(amount(100)), undefined);
    assert.equal(progress.set(true, false), true);
    assert.equal(progress.set(true, false), false);
    assert.deepEqual(progress.progress(amount(100)), left(100));
    progress.begin(amount(100));
    progress.page(amount(50), amount(20));
    assert.deepEqual(progress.progress(amount(100)), left(20 + 50));
    progress.page(amount(50), amount(0));
    progress.end();
    assert.deepEqual(progress.progress(amount(100)), left(20));
    progress.begin(amount(100));
    progress.page(amount(50), amount(1));
    assert.deepEqual(progress.progress(amount(100)), left(1 + 10));
  });

  it('only a whole walk that began after the agreement ends it', () => {
    const progress = new WalkProgress();
    progress.set(true, false);
    progress.begin(amount(1));
    assert.equal(progress.set(true, true), true);
    progress.page(amount(1), amount(0));
    progress.end();
    assert.equal(progress.done, false);
    progress.begin(amount(1));
    progress.abandon();
    assert.equal(progress.done, false);
    progress.begin(amount(1));
    progress.page(amount(1), amount(0));
    progress.end();
    assert.deepEqual(progress.progress(amount(1)), left(0, true));
    // An owner was lost since.
    progress.begin(amount(1));
    progress.page(amount(1), amount(1));
    assert.equal(progress.done, false);
    progress.set(false, false);
    assert.equal(progress.progress(amount(1)), undefined);
  });
});
