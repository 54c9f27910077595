import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RowView } from '../../../../src/core/namespace/row-view.ts';
import { NONCE } from '../../../../src/core/namespace/rows.ts';
import { RowNotLoaded } from '../../../../src/core/namespace/types.ts';

const key = (n: number): Uint8Array => Uint8Array.of(n);
const value = (n: number): Uint8Array => Uint8Array.of(n, n);
const plenty = { cacheBytesMax: 1_000_000 };

test('a row must be loaded before it is read; absence is loaded too', () => {
  const view = new RowView(plenty);
  assert.throws(
    () => view.get(key(1)),
    (error: unknown) => error instanceof RowNotLoaded && error.keys[0]?.[0] === 1,
  );
  view.load(key(1), value(1));
  view.load(key(2), undefined);
  assert.deepEqual(view.get(key(1)), value(1));
  assert.equal(view.get(key(2)), undefined);
  assert.deepEqual(view.missing([key(1), key(3), key(3), key(2)]), [key(3)]);
  assert.throws(
    () => view.require([key(3), key(1), key(4)]),
    (error: unknown) => error instanceof RowNotLoaded && error.keys.length === 2,
  );
});

test('loading does not replace what is known', () => {
  const view = new RowView(plenty);
  view.put(key(1), value(1));
  view.load(key(1), value(9));
  assert.deepEqual(view.get(key(1)), value(1));
});

test('savepoints nest, and rolling back restores rows, absence and what is to be written', () => {
  const view = new RowView(plenty);
  view.load(key(1), value(1));
  view.put(key(2), value(2));
  view.begin();
  view.put(key(1), value(3));
  view.begin();
  view.put(key(1), value(4));
  view.del(key(2));
  view.put(key(3), value(3));
  view.rollback();
  assert.deepEqual(view.get(key(1)), value(3));
  assert.deepEqual(view.get(key(2)), value(2));
  assert.throws(() => view.get(key(3)), RowNotLoaded);
  view.begin();
  view.put(key(4), value(4));
  view.commit();
  view.rollback();
  assert.deepEqual(view.get(key(1)), value(1));
  assert.throws(() => view.get(key(4)), RowNotLoaded);
  assert.deepEqual(view.takeWrites(), [{ type: 'put', key: key(2), value: value(2) }]);
  assert.deepEqual(view.takeWrites(), []);
});

test('a row changed many times is written once, and encoded when it is taken', () => {
  const view = new RowView(plenty);
  let encoded = 0;
  const codec = {
    encode: (row: { session: number }) => {
      encoded++;
      return NONCE.encode(row);
    },
    decode: NONCE.decode,
  };
  for (let i = 1; i <= 5; i++) view.write(key(1), codec, { session: i });
  assert.equal(encoded, 0);
  assert.deepEqual(view.read(key(1), codec), { session: 5 });
  assert.deepEqual(view.takeWrites(), [{ type: 'put', key: key(1), value: NONCE.encode({ session: 5 }) }]);
  assert.equal(encoded, 1);
  view.del(key(1));
  assert.deepEqual(view.takeWrites(), [{ type: 'del', key: key(1) }]);
});

test('the cache is bounded, keeps what is used, and never drops the rows of the last batch', () => {
  const view = new RowView({ cacheBytesMax: 100 * 500 });
  view.put(key(0), value(0));
  view.takeWrites();
  for (let batch = 1; batch <= 50; batch++) {
    for (let i = 0; i < 20; i++) view.put(Uint8Array.of(1, batch, i), new Uint8Array(50));
    view.get(key(0));
    view.takeWrites();
    for (let i = 0; i < 20; i++) view.get(Uint8Array.of(1, batch, i));
    assert.ok(view.size < 250, `${view.size} rows`);
  }
  assert.deepEqual(view.get(key(0)), value(0));
  assert.throws(() => view.get(Uint8Array.of(1, 1, 0)), RowNotLoaded);
});

test('rows of a batch stay until it is taken, however small the cache', () => {
  const view = new RowView({ cacheBytesMax: 0 });
  for (let i = 0; i < 100; i++) view.load(key(i), value(i));
  for (let i = 0; i < 100; i++) assert.deepEqual(view.get(key(i)), value(i));
});

test('clear forgets, but not writes that nobody has taken', () => {
  const view = new RowView(plenty);
  view.put(key(1), value(1));
  assert.throws(() => view.clear());
  view.takeWrites();
  view.clear();
  assert.equal(view.size, 0);
});
