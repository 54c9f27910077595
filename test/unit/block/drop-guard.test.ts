import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BlockId } from '../../../src/base/ids.ts';
import { LocalBlocks } from '../../../src/block/local-blocks.ts';
import type { BlockEntry } from '../../../src/ports/block-store.ts';
import { MemoryBlockStore } from '../../support/memory-block-store.ts';
import { RecordingLogger } from '../../support/recording-logger.ts';
import { testBlock } from '../../support/test-blocks.ts';

const { id, data } = testBlock(1);

interface Fixture {
  readonly store: MemoryBlockStore;
  readonly local: LocalBlocks;
  readonly entry: BlockEntry;
}

async function withCopy(uploadedAt: number): Promise<Fixture> {
  const store = new MemoryBlockStore();
  const local = new LocalBlocks({ store, logger: new RecordingLogger() });
  await local.put(id, data, uploadedAt);
  return { store, local, entry: { id, length: data.length, uploadedAt } };
}

/** A promise, and what resolves it. */
function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

describe('the drop of a surplus copy', () => {
  it('deletes it when nothing has happened to it since it began', async () => {
    const { store, local, entry } = await withCopy(7);
    await local.drops.begin([id]);
    assert.equal(await local.drop(entry), true);
    assert.equal(store.blocks.has(id), false);
    assert.equal(local.drops.has(id), false);
  });

  const uses: Readonly<Record<string, (local: LocalBlocks) => Promise<unknown>>> = {
    put: (local) => local.put(id, data, 3),
    'question whether it is there': (local) => local.has([id]),
    touch: (local) => local.has([id], 9),
    replacement: (local) => local.replace(id, data, 3),
  };
  for (const [name, use] of Object.entries(uses)) {
    it(`is given up for a ${name}`, async () => {
      const { store, local, entry } = await withCopy(7);
      await local.drops.begin([id]);
      await use(local);
      assert.equal(await local.drop(entry), false);
      local.drops.end([id]);
      assert.equal(store.blocks.has(id), true);
      await local.drops.begin([id]);
      const [now] = await store.stat([id]);
      assert.equal(await local.drop(now!), true, 'the next one is not');
    });
  }

  it('begins when what was under way has ended', async () => {
    const { store, local } = await withCopy(7);
    const { opened, open } = gate();
    store.beforePut = () => opened;
    const put = local.put(id, data, 12);
    let begun = false;
    const begin = local.drops.begin([id]).then(() => {
      begun = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(begun, false);
    open();
    await put;
    await begin;
    assert.equal((await store.stat([id]))[0]?.uploadedAt, 12);
  });

  it('is over before a put stores the block again, and what is asked finds it gone', async () => {
    const { store, local, entry } = await withCopy(7);
    const { opened, open } = gate();
    const remove = store.delete.bind(store);
    store.delete = async (which, before) => {
      await opened;
      return await remove(which, before);
    };
    await local.drops.begin([id]);
    const order: string[] = [];
    const note =
      <T>(what: string) =>
      (result: T): T => {
        order.push(what);
        return result;
      };
    const dropped = local.drop(entry).then(note('dropped'));
    const told = local.has([id]).then(note('told'));
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(order, []);
    open();
    assert.equal(await dropped, true);
    assert.deepEqual(await told, [false]);
    assert.deepEqual(await local.put(id, data, 7), { existed: false });
    assert.equal(store.blocks.has(id), true);
  });

  it('spares a copy that got a higher index than was asked for', async () => {
    const { store, local, entry } = await withCopy(7);
    await local.drops.begin([id]);
    await store.touch([id], 8);
    assert.equal(await local.drop(entry), false);
    assert.equal(store.blocks.has(id), true);
  });
});

describe('a node vouches', () => {
  const vouch = (local: LocalBlocks, which: BlockId, uploadedAt: number): Promise<boolean[]> =>
    local.vouch([{ id: which, uploadedAt }]);

  it('for a copy that it has, and raises its index', async () => {
    const { store, local } = await withCopy(7);
    assert.deepEqual(await vouch(local, id, 5), [true]);
    assert.equal((await store.stat([id]))[0]?.uploadedAt, 7);
    assert.deepEqual(await vouch(local, id, 9), [true]);
    assert.equal((await store.stat([id]))[0]?.uploadedAt, 9);
  });

  it('not for one that it lacks, knows to be bad, or is about to drop', async () => {
    const { store, local, entry } = await withCopy(7);
    assert.deepEqual(await vouch(local, testBlock(2).id, 0), [false]);
    await local.drops.begin([id]);
    assert.deepEqual(await vouch(local, id, 0), [false]);
    assert.equal(await local.drop(entry), true, 'that does not end the drop');
    await local.put(id, data, 7);
    store.corrupt(id);
    assert.equal(await local.verify(id), 'corrupt');
    assert.deepEqual(await vouch(local, id, 0), [false]);
  });
});
