import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compareBytes } from '../../../src/base/bytes.ts';
import { MemoryKvStore } from '../../support/memory-kv-store.ts';

const b = (...values: number[]): Uint8Array => Uint8Array.from(values);

test('a scan sees the store as of its call', async () => {
  const store = new MemoryKvStore();
  await store.write(
    [1, 2, 3].map((n) => ({ type: 'put' as const, key: b(n), value: b(n) })),
    { sync: false },
  );
  const scan = store.scan({ gte: b(1), lt: b(3) });
  await store.write(
    [
      { type: 'del', key: b(1) },
      { type: 'put', key: b(2), value: b(99) },
    ],
    { sync: true },
  );
  const seen: number[][] = [];
  for await (const [key, value] of scan) seen.push([key[0]!, value[0]!]);
  assert.deepEqual(seen, [
    [1, 1],
    [2, 2],
  ]);
  assert.deepEqual(await store.getMany([b(2), b(1), b(3)]), [b(99), undefined, b(3)]);
});

test('ranges, limits and order', async () => {
  const key = fc.uint8Array({ minLength: 1, maxLength: 3 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(key),
      key,
      key,
      fc.nat(5),
      fc.boolean(),
      async (keys, gte, lt, limit, reverse) => {
        const store = new MemoryKvStore();
        await store.write(
          keys.map((k) => ({ type: 'put' as const, key: k, value: k })),
          { sync: false },
        );
        const unique = [...new Map(keys.map((k) => [k.join(), k])).values()].sort(compareBytes);
        let expected = unique.filter((k) => compareBytes(k, gte) >= 0 && compareBytes(k, lt) < 0);
        if (reverse) expected.reverse();
        expected = expected.slice(0, limit);
        const seen: Uint8Array[] = [];
        for await (const [k] of store.scan({ gte, lt, limit, reverse })) seen.push(k);
        assert.deepEqual(seen, expected);
      },
    ),
  );
});

test('what goes in and out is copied, and a hook may refuse a batch', async () => {
  const store = new MemoryKvStore({
    beforeWrite: (batch) => {
      if (batch.length > 1) throw new Error('full');
    },
  });
  const value = b(1);
  await store.write([{ type: 'put', key: b(1), value }], { sync: true });
  value[0] = 2;
  (await store.get(b(1)))![0] = 3;
  assert.deepEqual(await store.get(b(1)), b(1));
  const two = [1, 2].map((n) => ({ type: 'put' as const, key: b(n), value: b(9) }));
  await assert.rejects(store.write(two, { sync: true }), /full/);
  assert.deepEqual(await store.get(b(1)), b(1));
  await store.clear({ gte: b(0), lt: b(9) });
  assert.equal(store.size, 0);
  await store.close();
  await assert.rejects(store.get(b(1)), /closed/);
});
