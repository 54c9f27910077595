import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { NodeInfo } from '../../../src/gen/ringfs/v1/block.ts';
import { BlockCluster } from '../../support/block-cluster.ts';
import { type TestBlock, testBlocks } from '../../support/test-blocks.ts';

const NAMES = ['a', 'b', 'c'];

async function filled(count: number, scrubIntervalMs: number): Promise<[BlockCluster, TestBlock[]]> {
  const cluster = new BlockCluster({ scrubIntervalMs });
  cluster.start(...NAMES);
  await cluster.untilRing(NAMES);
  const blocks = testBlocks(count);
  for (const block of blocks) await cluster.put('a', block);
  await cluster.timers.advance(100);
  return [cluster, blocks];
}

const infoOf = (cluster: BlockCluster, name: string): Promise<NodeInfo> =>
  cluster.timers.resolve(cluster.node(name).server.info());

describe('scrubber', () => {
  it('tells where it is, what it found and healed, and when it last was through', async () => {
    const [cluster, blocks] = await filled(40, 60_000);
    for (const { id } of blocks.slice(0, 10)) cluster.node('b').store.corrupt(id);
    const status = async (): Promise<NonNullable<NodeInfo['scrub']>> => (await infoOf(cluster, 'b')).scrub!;
    assert.deepEqual([(await status()).running, (await status()).passes], [false, 0]);
    let before = 0;
    await cluster.timers.advance(60_000 - cluster.timers.nowMs());
    // 64 KiB and the block at 8 MiB/s: 8 ms for each of 40.
    for (let i = 0; i < 5; i++) {
      await cluster.timers.advance(50);
      const { running, position, passBlocks } = await status();
      assert.ok(running && position > before && position < 1, `${position} after ${before}`);
      assert.ok(passBlocks >= 6 * i && passBlocks <= 7 * (i + 1), `${passBlocks} blocks`);
      before = position;
    }
    await cluster.timers.advance(10_000);
    const done = await status();
    assert.deepEqual([done.running, done.passes, done.found, done.healed], [false, 1, 10, 10]);
    assert.deepEqual([done.lastPassBlocks, done.lastPassBad], [40, 10]);
    assert.ok(done.lastPassTookMs >= 300 && done.lastPassEndedSec > 1_700_000_000);
    await cluster.stop();
  });

  it('keeps a bad copy that nobody can replace, does not count it as one, and tries again', async () => {
    const [cluster, [block]] = (await filled(1, 5_000)) as [BlockCluster, [TestBlock]];
    let asked = 0;
    for (const name of NAMES) {
      const { store } = cluster.node(name);
      store.corrupt(block.id);
      const get = store.get.bind(store);
      store.get = (id) => {
        asked++;
        return get(id);
      };
    }
    await cluster.timers.advance(20_000);
    for (const name of NAMES) {
      const { badCopies, corruptFound, scrub } = await infoOf(cluster, name);
      assert.deepEqual([badCopies, corruptFound, scrub?.found, scrub?.healed], [1, 1, 1, 0], name);
      assert.ok(cluster.node(name).store.blocks.has(block.id));
      const has = await cluster.call(name, {
        $case: 'has',
        value: { blockIds: [Buffer.from(block.id, 'hex')] },
      });
      assert.ok(has.$case === 'has' && has.value.present[0] === false);
    }
    // Nodes without a good copy do not keep asking each other.
    const before = asked;
    await cluster.timers.advance(30_000);
    assert.ok(asked - before < 20, `${asked - before} requests for the block`);
    // The damage was not of the disk but on the way, say: the copy of one node is good again.
    cluster.node('c').store.blocks.set(block.id, block.data);
    await cluster.timers.advance(180_000);
    for (const name of NAMES) {
      assert.deepEqual(cluster.node(name).store.blocks.get(block.id), block.data, name);
      const { badCopies, scrub } = await infoOf(cluster, name);
      assert.deepEqual([badCopies, scrub?.found, scrub?.healed], [0, 1, 1], name);
    }
    await cluster.stop();
  });

  it('fetches what the store says is lost, without waiting for a pass', async () => {
    const [cluster, blocks] = await filled(5, 3_600_000);
    const { store } = cluster.node('a');
    for (const { id } of blocks) store.blocks.set(id, new Uint8Array(3));
    store.lost = blocks.map(({ id }) => id);
    await cluster.timers.advance(61_000);
    for (const { id, data } of blocks) assert.deepEqual(store.blocks.get(id), data);
    const { scrub, corruptFound } = await infoOf(cluster, 'a');
    assert.deepEqual([scrub?.passes, scrub?.found, scrub?.healed, corruptFound], [0, 5, 5, 5]);
    await cluster.stop();
  });
});
