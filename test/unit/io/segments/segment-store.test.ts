import assert from 'node:assert/strict';
import { readFile, stat, truncate, unlink, writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { seededRandom } from '../../../../src/base/random.ts';
import type { BlockStore } from '../../../../src/ports/block-store.ts';
import { flipByte } from '../../../support/flip-byte.ts';
import { ioError, SegmentFixture } from '../../../support/segment-fixture.ts';
import { type TestBlock, testBlock, testBlocks } from '../../../support/test-blocks.ts';

const SMALL = { segmentSizeBytesMax: 16 * 1024 };

async function withFixture(body: (fixture: SegmentFixture) => Promise<void>): Promise<void> {
  const fixture = await SegmentFixture.make();
  try {
    await body(fixture);
  } finally {
    await fixture.cleanup();
  }
}

async function putAll(store: BlockStore, blocks: readonly TestBlock[]): Promise<void> {
  await Promise.all(blocks.map((b) => store.put(b.id, b.data)));
}

async function assertHolds(store: BlockStore, blocks: readonly TestBlock[]): Promise<void> {
  for (const b of blocks) {
    const data = await store.get(b.id);
    assert.ok(data !== undefined, `block ${b.id} is missing`);
    assert.ok(Buffer.from(b.data).equals(data), `block ${b.id} differs`);
  }
}

describe('segment store', () => {
  it('keeps everything over a clean restart, across segments', () =>
    withFixture(async (fixture) => {
      const blocks = testBlocks(60);
      let store = await fixture.open(SMALL);
      await putAll(store, blocks.slice(0, 40));
      await store.close();
      store = await fixture.open(SMALL);
      await putAll(store, blocks.slice(40));
      await assertHolds(store, blocks);
      assert.deepEqual(await store.stats().then((s) => [s.blocks, s.storedBytes]), [60, 60_000]);
      await store.close();
      assert.ok((await stat(fixture.path(4))).size > 0);
    }));

  it('shares one fdatasync among puts that wait', () =>
    withFixture(async (fixture) => {
      const store = await fixture.open();
      const before = fixture.syncs;
      await putAll(store, testBlocks(100));
      assert.ok(fixture.syncs - before < 60, `${fixture.syncs - before} syncs`);
      await store.close();
    }));

  it('recovers without its index changes after the checkpoint', () =>
    withFixture(async (fixture) => {
      const blocks = testBlocks(30);
      let store = await fixture.open(SMALL);
      await putAll(store, blocks.slice(0, 10));
      await store.close();
      const saved = new Map(fixture.kv.rows);
      store = await fixture.open(SMALL);
      await putAll(store, blocks.slice(10));
      await store.delete(blocks[3]!.id);
      await store.delete(blocks[12]!.id);
      await store.close();
      fixture.kv.rows.clear();
      for (const [key, value] of saved) fixture.kv.rows.set(key, value);
      store = await fixture.open(SMALL);
      const left = blocks.filter((_, i) => i !== 3 && i !== 12);
      await assertHolds(store, left);
      assert.equal(await store.get(blocks[3]!.id), undefined);
      assert.deepEqual(await store.stats().then((s) => [s.blocks, s.storedBytes]), [28, 28_000]);
      await store.close();
    }));

  it('counts exactly when the index is ahead of its checkpoint', () =>
    withFixture(async (fixture) => {
      const blocks = testBlocks(20);
      let store = await fixture.open(SMALL);
      await putAll(store, blocks.slice(0, 10));
      await store.close();
      const key = [...fixture.kv.rows.keys()].find((k) => k === 'checkpoint')!;
      const checkpoint = fixture.kv.rows.get(key)!;
      store = await fixture.open(SMALL);
      await putAll(store, blocks.slice(10));
      await store.delete(blocks[1]!.id);
      await store.delete(blocks[11]!.id);
      await store.put(blocks[11]!.id, blocks[11]!.data);
      await store.close();
      fixture.kv.rows.set(key, checkpoint);
      store = await fixture.open(SMALL);
      assert.deepEqual(await store.stats().then((s) => [s.blocks, s.storedBytes]), [19, 19_000]);
      await store.close();
    }));

  it('rebuilds the whole index from the segments', () =>
    withFixture(async (fixture) => {
      const blocks = testBlocks(40);
      let store = await fixture.open(SMALL);
      await putAll(store, blocks);
      await store.delete(blocks[5]!.id);
      await store.close();
      fixture.kv.rows.clear();
      store = await fixture.open(SMALL);
      assert.ok(fixture.logger.has('block index is missing or stale: rebuilding it'));
      await assertHolds(
        store,
        blocks.filter((_, i) => i !== 5),
      );
      assert.equal(await store.get(blocks[5]!.id), undefined);
      assert.deepEqual(await store.stats().then((s) => [s.blocks, s.storedBytes]), [39, 39_000]);
      await store.close();
    }));

  it('rebuilds from headers, and says that the content was not read', () =>
    withFixture(async (fixture) => {
      const blocks = testBlocks(40);
      let store = await fixture.open(SMALL);
      await putAll(store, blocks);
      await store.close();
      await flipByte(fixture.path(1), 256 + 64 + 100);
      fixture.kv.rows.clear();
      store = await fixture.open({ ...SMALL, rebuildVerifyBytes: 1 });
      assert.equal((await store.stats()).blocks, 40);
      assert.equal((await store.inspect(10)).unread, true);
      assert.equal((await store.inspect(10)).unread, false, 'told once');
      await store.close();
      fixture.kv.rows.clear();
      store = await fixture.open(SMALL);
      assert.equal((await store.stats()).blocks, 39, 'in a small store all content is read');
      assert.equal((await store.inspect(10)).unread, false);
      await store.close();
    }));

  it('takes no bad copy for a good one when it rebuilds from headers', () =>
    withFixture(async (fixture) => {
      const blocks = testBlocks(30);
      const [block] = blocks as [TestBlock, ...TestBlock[]];
      let store = await fixture.open(SMALL);
      for (const { id, data } of blocks) await store.put(id, data);
      const first = await readFile(fixture.path(1));
      // Its segment is compacted, but is back after a crash; and the copy that was written meanwhile was torn.
      for (const { id } of blocks.slice(1, 14)) await store.delete(id);
      await store.reclaim();
      await assert.rejects(stat(fixture.path(1)), { code: 'ENOENT' });
      await store.close();
      await writeFile(fixture.path(1), first);
      let torn = 0;
      for (const segment of [2, 3, 4]) {
        const image = await readFile(fixture.path(segment)).catch(() => Buffer.alloc(0));
        const at = image.indexOf(block.data.subarray(0, 100));
        if (at < 0) continue;
        await flipByte(fixture.path(segment), at + 10);
        torn++;
      }
      assert.equal(torn, 1);
      fixture.kv.rows.clear();
      store = await fixture.open({ ...SMALL, rebuildVerifyBytes: 0 });
      await assertHolds(store, [block]);
      await store.close();
    }));

  it('knows what it has lost when its segments are gone', () =>
    withFixture(async (fixture) => {
      const [a, b] = testBlocks(2) as [TestBlock, TestBlock];
      let store = await fixture.open();
      await store.put(a.id, a.data);
      await store.close();
      await unlink(fixture.path(1));
      store = await fixture.open();
      await assert.rejects(store.get(a.id), { code: 'corrupt' });
      assert.deepEqual(await store.inspect(10), { lost: [a.id], more: false, unread: false });
      await store.put(b.id, b.data);
      await assertHolds(store, [b]);
      await store.delete(a.id);
      await store.put(a.id, a.data);
      assert.deepEqual(await store.inspect(10), { lost: [], more: false, unread: false });
      await assertHolds(store, [a, b]);
      await store.close();
    }));

  it('cuts a torn tail anywhere, keeps all before it, and goes on', () =>
    withFixture(async (fixture) => {
      const blocks = testBlocks(5);
      let store = await fixture.open();
      for (const b of blocks.slice(0, 4)) await store.put(b.id, b.data);
      await store.close();
      const whole = await readFile(fixture.path(1));
      const rows = new Map(fixture.kv.rows);
      const random = seededRandom(3);
      const recordBytes = 64 + 1024;
      const lastAt = whole.length - recordBytes;
      for (let round = 0; round < 30; round++) {
        fixture.kv.rows.clear();
        if (round % 2 === 0) for (const [k, v] of rows) if (k !== 'checkpoint') fixture.kv.rows.set(k, v);
        await writeFile(fixture.path(1), whole);
        await truncate(fixture.path(1), lastAt + random.below(64 + 1000));
        store = await fixture.open();
        await assertHolds(store, blocks.slice(0, 3));
        assert.equal(await store.get(blocks[3]!.id), undefined);
        assert.equal((await stat(fixture.path(1))).size, lastAt);
        await putAll(store, blocks.slice(3));
        await assertHolds(store, blocks);
        await store.close();
      }
    }));

  it('finds records behind a hole that a crash left', () =>
    withFixture(async (fixture) => {
      const blocks = testBlocks(4, 5000);
      let store = await fixture.open();
      for (const b of blocks) await store.put(b.id, b.data);
      await store.close();
      const bytes = await readFile(fixture.path(1));
      const record = 64 + 5056;
      bytes.fill(0, 256 + record, 256 + 2 * record);
      await writeFile(fixture.path(1), bytes);
      fixture.kv.rows.clear();
      store = await fixture.open();
      assert.ok(fixture.logger.has('segment has a damaged region'));
      await assertHolds(store, [blocks[0]!, blocks[2]!, blocks[3]!]);
      assert.equal(await store.get(blocks[1]!.id), undefined);
      await store.close();
    }));

  it('does not take stored data that looks like a segment for records', () =>
    withFixture(async (fixture) => {
      const inner = testBlock(1, 1000);
      let store = await fixture.open();
      await store.put(inner.id, inner.data);
      await store.close();
      // The image of this very segment, stored as a block at the same alignment, then its own header destroyed.
      const image = new Uint8Array(await readFile(fixture.path(1)));
      const { blockIdOf } = await import('../../../support/test-blocks.ts');
      store = await fixture.open();
      await store.put(blockIdOf(image), image);
      await store.close();
      await flipByte(fixture.path(1), image.length + 10);
      fixture.kv.rows.clear();
      store = await fixture.open();
      assert.deepEqual(await store.list(undefined, undefined, 10), [
        { id: inner.id, length: 1000, uploadedAt: 0 },
      ]);
      await store.close();
    }));

  it('reports a damaged record as corrupt and takes the block again after a delete', () =>
    withFixture(async (fixture) => {
      const block = testBlock(1);
      const store = await fixture.open();
      await store.put(block.id, block.data);
      await flipByte(fixture.path(1), 256 + 30);
      await assert.rejects(store.get(block.id), { code: 'corrupt' });
      await store.delete(block.id);
      await store.put(block.id, block.data);
      await assertHolds(store, [block]);
      await store.close();
    }));

  it('refuses the segments of another cluster', () =>
    withFixture(async (fixture) => {
      const store = await fixture.open();
      const block = testBlock(1);
      await store.put(block.id, block.data);
      await store.close();
      await assert.rejects(fixture.open({ clusterId: 'other' }), { name: 'BlockStoreError' });
    }));

  it('opens its own segments again, and no others, when the name of the cluster is long', () =>
    withFixture(async (fixture) => {
      const clusterId = `${'s1=host:7400,'.repeat(10)}é`;
      const block = testBlock(1);
      let store = await fixture.open({ clusterId, nodeId: 'n'.repeat(100) });
      await store.put(block.id, block.data);
      await store.close();
      store = await fixture.open({ clusterId, nodeId: 'n'.repeat(100) });
      await assertHolds(store, [block]);
      await store.close();
      assert.ok(!fixture.logger.lines.some((line) => line.message.includes('another node name')));
      await assert.rejects(fixture.open({ clusterId: `${clusterId}e` }), { name: 'BlockStoreError' });
    }));

  it('ignores a segment whose creation was torn', () =>
    withFixture(async (fixture) => {
      const blocks = testBlocks(2) as [TestBlock, TestBlock];
      let store = await fixture.open();
      await store.put(blocks[0].id, blocks[0].data);
      await store.close();
      await writeFile(fixture.path(2), new Uint8Array(10));
      store = await fixture.open();
      await store.put(blocks[1].id, blocks[1].data);
      await store.close();
      store = await fixture.open();
      await assertHolds(store, blocks);
      assert.equal((await store.stats()).blocks, 2);
      await store.close();
    }));
});

describe('segment store with failing disks', () => {
  it('gives no-space on ENOSPC, stays readable, and writes again when there is space', () =>
    withFixture(async (fixture) => {
      const blocks = testBlocks(30);
      let store = await fixture.open();
      await putAll(store, blocks.slice(0, 10));
      fixture.onWrite = () => {
        throw ioError('ENOSPC');
      };
      const failed = await Promise.allSettled(blocks.slice(10, 20).map((b) => store.put(b.id, b.data)));
      for (const f of failed) {
        assert.equal(f.status, 'rejected');
        assert.equal((f.reason as { code: string }).code, 'no-space');
      }
      await assertHolds(store, blocks.slice(0, 10));
      fixture.onWrite = undefined;
      await putAll(store, blocks.slice(10));
      await assertHolds(store, blocks);
      await store.close();
      store = await fixture.open();
      await assertHolds(store, blocks);
      assert.equal((await store.stats()).blocks, 30);
      await store.close();
    }));

  it('keeps a put that succeeded behind one that failed', () =>
    withFixture(async (fixture) => {
      const blocks = testBlocks(12);
      const store = await fixture.open();
      const random = seededRandom(5);
      for (let round = 0; round < 20; round++) {
        fixture.onWrite = () => {
          if (random.next() < 0.4) throw ioError('EIO');
        };
        const results = await Promise.allSettled(blocks.map((b) => store.put(b.id, b.data)));
        fixture.onWrite = undefined;
        const good = blocks.filter((_, i) => results[i]!.status === 'fulfilled');
        await assertHolds(store, good);
        if (round % 5 === 4) for (const b of blocks) await store.delete(b.id);
      }
      await putAll(store, blocks);
      await store.close();
      fixture.kv.rows.clear();
      const again = await fixture.open();
      await assertHolds(again, blocks);
      await again.close();
    }));

  it('fails the puts whose fdatasync failed and never appends to that segment again', () =>
    withFixture(async (fixture) => {
      const blocks = testBlocks(6);
      const store = await fixture.open();
      await putAll(store, blocks.slice(0, 2));
      fixture.onSync = () => {
        throw ioError('EIO');
      };
      await assert.rejects(store.put(blocks[2]!.id, blocks[2]!.data), { code: 'io' });
      fixture.onSync = undefined;
      assert.deepEqual(await store.has([blocks[2]!.id]), [false]);
      const size = (await stat(fixture.path(1))).size;
      await putAll(store, blocks.slice(2));
      await assertHolds(store, blocks);
      assert.equal((await stat(fixture.path(1))).size, size);
      await store.close();
    }));

  it('does not count on a copy that a failed delete may have deleted, until it is put again', () =>
    withFixture(async (fixture) => {
      const block = testBlock(1);
      const store = await fixture.open();
      await putAll(store, [block]);
      fixture.onSync = () => {
        throw ioError('EIO');
      };
      await assert.rejects(store.delete(block.id), { code: 'io' });
      fixture.onSync = undefined;
      assert.deepEqual(await store.has([block.id]), [false]);
      assert.deepEqual(await store.touch([block.id], 5), [false]);
      await putAll(store, [block]);
      assert.deepEqual(await store.has([block.id]), [true]);
      await assertHolds(store, [block]);
      await store.close();
    }));

  it('does not acknowledge what the index could not take', () =>
    withFixture(async (fixture) => {
      const block = testBlock(1);
      const store = await fixture.open();
      fixture.kv.failWrites = ioError('ENOSPC');
      await assert.rejects(store.put(block.id, block.data), { code: 'no-space' });
      fixture.kv.failWrites = undefined;
      await store.put(block.id, block.data);
      await assertHolds(store, [block]);
      await store.close();
    }));
});
