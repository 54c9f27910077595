import assert from 'node:assert/strict';
import { readdir, truncate, unlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import type { BlockId } from '../../../../src/base/ids.ts';
import type { BlockStore } from '../../../../src/ports/block-store.ts';
import { flipByte } from '../../../support/flip-byte.ts';
import { SegmentFixture } from '../../../support/segment-fixture.ts';
import { type TestBlock, testBlocks } from '../../../support/test-blocks.ts';

/** Four blocks of 4,000 bytes to a segment. */
const SMALL = { segmentSizeBytesMax: 17_000 };
const NOTHING = { lost: [], more: false, unread: false };

async function withBlocks(
  body: (fixture: SegmentFixture, store: BlockStore, blocks: readonly TestBlock[]) => Promise<void>,
): Promise<void> {
  const fixture = await SegmentFixture.make();
  try {
    const store = await fixture.open(SMALL);
    const blocks = testBlocks(12, 4000);
    for (const [i, block] of blocks.entries()) await store.put(block.id, block.data, i);
    await body(fixture, store, blocks);
  } finally {
    await fixture.cleanup();
  }
}

async function lostOf(store: BlockStore, blocks: readonly TestBlock[]): Promise<BlockId[]> {
  const lost: BlockId[] = [];
  for (const { id, data } of blocks) {
    const found = await store.get(id).catch(() => undefined);
    if (found === undefined) lost.push(id);
    else assert.ok(Buffer.from(data).equals(found), `block ${id} differs`);
  }
  return lost.sort();
}

const sortedIds = (blocks: readonly TestBlock[]): BlockId[] => blocks.map(({ id }) => id).sort();

describe('inspection of segments', () => {
  it('finds nothing wrong with what is whole', () =>
    withBlocks(async (_, store, blocks) => {
      assert.deepEqual(await store.inspect(100), NOTHING);
      assert.deepEqual(await lostOf(store, blocks), []);
      await store.close();
    }));

  it('empties a segment whose header is damaged and sets it aside, for good', () =>
    withBlocks(async (fixture, store, blocks) => {
      await flipByte(fixture.path(1), 40);
      await flipByte(fixture.path(1), 256 + 64 + 100); // and the content of the first record
      const { lost } = await store.inspect(100);
      assert.deepEqual(lost, [blocks[0]!.id]);
      assert.deepEqual(await readdir(path.join(fixture.directory, 'quarantine')), ['seg-00000001.dat']);
      assert.deepEqual(await lostOf(store, blocks), lost);
      const { quarantinedSegments, quarantinedBytes } = await store.stats();
      assert.equal(quarantinedSegments, 1);
      assert.ok(quarantinedBytes > 16_000);
      assert.ok(fixture.logger.has('a damaged segment was set aside'));
      // What is healed is no concern any more, and what was moved kept its index.
      await store.delete(blocks[0]!.id);
      await store.put(blocks[0]!.id, blocks[0]!.data);
      assert.deepEqual((await store.stat([blocks[3]!.id]))[0]?.uploadedAt, 3);
      assert.deepEqual(await store.inspect(100), NOTHING);
      await store.close();

      const again = await fixture.open(SMALL);
      assert.deepEqual(await lostOf(again, blocks), []);
      assert.equal((await again.stats()).quarantinedSegments, 1);
      await again.reclaim();
      assert.equal((await readdir(path.join(fixture.directory, 'quarantine'))).length, 1);
      await again.close();
    }));

  it('sets the newest segment aside too, and never uses its number again', () =>
    withBlocks(async (fixture, store, blocks) => {
      const segments = (): Promise<string[]> =>
        readdir(fixture.directory).then((names) => names.filter((name) => name.startsWith('seg-')).sort());
      const newest = (await segments()).at(-1)!;
      await flipByte(path.join(fixture.directory, newest), 0);
      assert.deepEqual((await store.inspect(100)).lost, []);
      // The file was still open for writing, or a start would have begun there.
      await store.inspect(100);
      assert.ok(!(await segments()).includes(newest));
      await store.close();
      for (const name of await segments()) await unlink(path.join(fixture.directory, name));
      const again = await fixture.open(SMALL);
      const more = testBlocks(1, 500, 100);
      await again.put(more[0]!.id, more[0]!.data);
      assert.ok((await segments())[0]! > newest);
      assert.deepEqual(await lostOf(again, blocks), sortedIds(blocks));
      await again.close();
    }));

  it('knows what was in a segment that is gone', () =>
    withBlocks(async (fixture, store, blocks) => {
      await unlink(fixture.path(2));
      const { lost, more } = await store.inspect(2);
      assert.equal(lost.length, 2);
      assert.equal(more, true);
      const inSecond = blocks.slice(4, 8);
      assert.deepEqual((await store.inspect(100)).lost, sortedIds(inSecond));
      await store.close();
      // The same when a start finds it missing.
      const again = await fixture.open(SMALL);
      assert.deepEqual((await again.inspect(100)).lost, sortedIds(inSecond));
      assert.deepEqual(await lostOf(again, blocks), sortedIds(inSecond));
      await again.close();
    }));

  it('knows what was behind the place where a segment is cut off, the newest included', () =>
    withBlocks(async (fixture, store, blocks) => {
      await store.close();
      await truncate(fixture.path(1), 256 + 4096 + 1000);
      await truncate(fixture.path(3), 256 + 4096);
      const again = await fixture.open(SMALL);
      const lost = sortedIds([...blocks.slice(1, 4), ...blocks.slice(9, 12)]);
      assert.deepEqual((await again.inspect(100)).lost, lost);
      assert.deepEqual(await lostOf(again, blocks), lost);
      await again.close();
      const once = await fixture.open(SMALL);
      assert.deepEqual(await lostOf(once, blocks), lost);
      await once.close();
    }));

  it('leaves a file alone that holds nothing', () =>
    withBlocks(async (fixture, store) => {
      await store.close();
      await writeFile(fixture.path(9), new Uint8Array(10));
      const again = await fixture.open(SMALL);
      assert.deepEqual(await again.inspect(100), NOTHING);
      await again.close();
    }));
});
