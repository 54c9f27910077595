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
        ids.map((id) => ({ id, length: 10, uploadedAt: 0 })),
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

    check('remembers the highest index with which a block was put or touched', async (fixture) => {
      const store = await fixture.open();
      const [a, b, absent] = [testBlock(1), testBlock(2), testBlock(3)];
      const index = async (): Promise<(number | undefined)[]> =>
        (await store.stat([a.id, b.id, absent.id])).map((entry) => entry?.uploadedAt);
      await store.put(a.id, a.data, 5);
      await store.put(b.id, b.data);
      assert.deepEqual(await index(), [5, 0, undefined]);
      assert.deepEqual(await store.put(a.id, a.data, 3), { existed: true });
      assert.deepEqual(await store.touch([a.id, b.id, absent.id], 4), [true, true, false]);
      assert.deepEqual(await index(), [5, 4, undefined]);
      await store.put(a.id, a.data, 2 ** 53 - 1);
      assert.deepEqual(await index(), [2 ** 53 - 1, 4, undefined]);
      const listed = await store.list(undefined, undefined, 10);
      assert.equal(listed.find((entry) => entry.id === b.id)?.uploadedAt, 4);
      await store.delete(a.id);
      await store.put(a.id, a.data, 1);
      assert.deepEqual(await index(), [1, 4, undefined]);
      await store.close();
    });

    check('deletes only what was uploaded before', async (fixture) => {
      const store = await fixture.open();
      const { id, data } = testBlock(1);
      assert.equal(await store.delete(id, 9), 'missing');
      await store.put(id, data, 7);
      assert.equal(await store.delete(id, 7), 'kept');
      assert.deepEqual(new Uint8Array((await store.get(id))!), data);
      await store.touch([id], 8);
      assert.equal(await store.delete(id, 8), 'kept');
      assert.equal(await store.delete(id, 9), 'deleted');
      assert.equal(await store.get(id), undefined);
      await store.put(id, data, 9);
      assert.equal(await store.delete(id), 'deleted');
      await store.close();
    });

    check('of a put and a delete at the same time, the later upload survives', async (fixture) => {
      const store = await fixture.open();
      const { id, data } = testBlock(1);
      for (let round = 1; round <= 20; round++) {
        await store.put(id, data, 10 * round);
        await Promise.all([
          store.delete(id, 10 * round + 5),
          store.put(id, data, 10 * round + 5),
          store.delete(id, 10 * round + 5),
        ]);
        assert.deepEqual(new Uint8Array((await store.get(id))!), data);
        assert.equal((await store.stat([id]))[0]?.uploadedAt, 10 * round + 5);
      }
      await store.close();
    });

    check('gives the space of deleted blocks back, and keeps the others', async (fixture) => {
      const capacityBytes = 4 * 1024 * 1024;
      const store = await fixture.open({ capacityBytes });
      const size = 64 * 1024;
      const kept = testBlocks(6, size, 1000);
      for (let round = 0; round < 6; round++) {
        const blocks = testBlocks(40, size, 40 * round);
        for (const b of blocks) await store.put(b.id, b.data, round);
        await store.put(kept[round]!.id, kept[round]!.data, 77);
        await Promise.all(blocks.map((b) => store.delete(b.id, round + 1)));
        await store.reclaim();
        const stats = await store.stats();
        assert.equal(stats.blocks, round + 1);
        assert.ok(stats.fileBytes < 1024 * 1024, `${stats.fileBytes} bytes after round ${round}`);
        assert.ok(stats.availableBytes > 2.5 * 1024 * 1024, `${stats.availableBytes} bytes available`);
      }
      for (const b of kept) assert.deepEqual(new Uint8Array((await store.get(b.id))!), b.data);
      assert.ok((await store.stat(kept.map((b) => b.id))).every((entry) => entry?.uploadedAt === 77));
      await store.close();
    });

    check('can be filled, emptied and filled again', async (fixture) => {
      const store = await fixture.open({ capacityBytes: 2 * 1024 * 1024 });
      for (let round = 0; round < 4; round++) {
        const stored = [];
        for (const b of testBlocks(40, 64 * 1024, 100 * round)) {
          try {
            await store.put(b.id, b.data);
            stored.push(b);
          } catch (error) {
            assert.equal((error as { code: string }).code, 'no-space');
            break;
          }
        }
        assert.ok(stored.length >= 20, `${stored.length} blocks fit in round ${round}`);
        // Every other one first: the rest has to be moved to make room.
        for (const parity of [0, 1]) {
          for (const [i, b] of stored.entries()) if (i % 2 === parity) await store.delete(b.id);
          await store.reclaim();
          if (parity === 0)
            for (const [i, b] of stored.entries())
              if (i % 2 === 1) assert.deepEqual(new Uint8Array((await store.get(b.id))!), b.data);
        }
      }
      assert.equal((await store.stats()).storedBytes, 0);
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
        () => store.touch([id], 1),
        () => store.stat([id]),
        () => store.reclaim(),
        () => store.list(undefined, undefined, 1),
        () => store.stats(),
      ]) {
        await assert.rejects(call, { code: 'closed' });
      }
    });
  });
}
