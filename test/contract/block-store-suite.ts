import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BlockId } from '../../src/base/ids.ts';
import type { BlockStore } from '../../src/ports/block-store.ts';
import { testBlock, testBlocks } from '../support/test-blocks.ts';

export interface BlockStoreFixture {
  open(options?: { capacityBytes?: number }): Promise<BlockStore>;
  cleanup(): Promise<void>;
}

/** What every BlockStore promises. */
export function blockStoreContract(name: string, makeFixture: () => Promise<BlockStoreFixture>): void {
  const check = (title: string, body: (fixture: BlockStoreFixture) => Promise<void>): void => {
    it(title, async () => {
      const fixture = await makeFixture();
      try {
        await body(fixture);
      } finally {
        await fixture.cleanup();
      }
    });
  };

  describe(`block store contract: ${name}`, () => {
    check('returns what was put, and says when it was there already', async (fixture) => {
      const store = await fixture.open();
      const { id, data } = testBlock(1);
      assert.equal(await store.get(id), undefined);
      assert.deepEqual(await store.put(id, data), { existed: false });
      assert.deepEqual(await store.put(id, data), { existed: true });
      assert.deepEqual(new Uint8Array((await store.get(id))!), data);
      await store.close();
    });

    check('stores the empty block and the largest', async (fixture) => {
      const store = await fixture.open();
      for (const block of [testBlock(1, 0), testBlock(2, 1), testBlock(3, 4 * 1024 * 1024)]) {
        await store.put(block.id, block.data);
        assert.ok(Buffer.from(block.data).equals((await store.get(block.id))!));
      }
      await store.close();
    });

    check('takes many puts at once, equal ones too', async (fixture) => {
      const store = await fixture.open();
      const blocks = testBlocks(50);
      const results = await Promise.all([...blocks, ...blocks].map((b) => store.put(b.id, b.data)));
      assert.equal(results.filter((r) => !r.existed).length, 50);
      const missing = testBlock(99).id;
      assert.deepEqual(await store.has([...blocks.map((b) => b.id), missing]), [
        ...blocks.map(() => true),
        false,
      ]);
      const stats = await store.stats();
      assert.equal(stats.blocks, 50);
      assert.equal(stats.storedBytes, 50_000);
      await store.close();
    });

    check('lists in order between two identifiers', async (fixture) => {
      const store = await fixture.open();
      const blocks = testBlocks(20, 10);
      for (const b of blocks) await store.put(b.id, b.data);
      const ids = blocks.map((b) => b.id).sort();
      const all = await store.list(undefined, undefined, 100);
      assert.deepEqual(
        all,
        ids.map((id) => ({ id, length: 10 })),
      );
      const some = await store.list(ids[4], ids[9], 100);
      assert.deepEqual(
        some.map((e) => e.id),
        ids.slice(5, 10),
      );
      const first = await store.list(ids[4], undefined, 3);
      assert.deepEqual(
        first.map((e) => e.id),
        ids.slice(5, 8),
      );
      assert.deepEqual(await store.list(ids[19], undefined, 3), []);
      await store.close();
    });

    check('forgets a deleted block and takes it again', async (fixture) => {
      const store = await fixture.open();
      const { id, data } = testBlock(1);
      await store.delete(id);
      await store.put(id, data);
      await store.delete(id);
      await store.delete(id);
      assert.equal(await store.get(id), undefined);
      assert.deepEqual(await store.has([id]), [false]);
      assert.equal((await store.stats()).blocks, 0);
      assert.deepEqual(await store.put(id, data), { existed: false });
      assert.deepEqual(new Uint8Array((await store.get(id))!), data);
      await store.close();
    });

    check('says no-space when full, stays readable, and takes what still fits', async (fixture) => {
      const store = await fixture.open({ capacityBytes: 10_000 });
      const blocks = testBlocks(20, 1000);
      let stored = 0;
      for (const b of blocks) {
        try {
          await store.put(b.id, b.data);
          stored++;
        } catch (error) {
          assert.equal((error as { code: string }).code, 'no-space');
        }
      }
      assert.ok(stored >= 5 && stored <= 10, `stored ${stored}`);
      for (const b of blocks.slice(0, stored))
        assert.deepEqual(new Uint8Array((await store.get(b.id))!), b.data);
      assert.deepEqual(await store.put(blocks[0]!.id, blocks[0]!.data), { existed: true });
      await store.close();
    });

    check('refuses everything once closed', async (fixture) => {
      const store = await fixture.open();
      await store.close();
      const { id, data } = testBlock(1);
      for (const call of [
        () => store.put(id, data),
        () => store.get(id),
        () => store.has([id as BlockId]),
        () => store.delete(id),
        () => store.list(undefined, undefined, 1),
        () => store.stats(),
      ]) {
        await assert.rejects(call, { code: 'closed' });
      }
    });
  });
}
