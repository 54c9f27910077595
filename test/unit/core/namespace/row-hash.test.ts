import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../../../src/base/random.ts';
import {
  addHash,
  hashChange,
  hashText,
  NO_ROWS_HASH,
  rowHash,
} from '../../../../src/core/namespace/row-hash.ts';
import { RowView } from '../../../../src/core/namespace/row-view.ts';
import { MemoryKvStore } from '../../../support/memory-kv-store.ts';

const random = seededRandom(7);

test('every bit, the lengths, and where the key ends make a difference', () => {
  const seen = new Set<number>();
  let made = 0;
  const note = (key: Uint8Array, value: Uint8Array): void => {
    const hash = rowHash(key, value);
    assert.ok(Number.isInteger(hash) && hash >= 0 && hash < 2 ** 52);
    seen.add(hash);
    made += 1;
  };
  for (const length of [0, 1, 3, 4, 7, 8, 9, 40, 511, 512, 600]) {
    const value = random.bytes(length);
    note(Uint8Array.of(1), value);
    note(Uint8Array.of(1, 0), value);
    note(Uint8Array.of(1), Uint8Array.of(...value, 0));
    for (let bit = 0; bit < length * 8; bit++) {
      const other = value.slice();
      other[bit >> 3]! ^= 1 << (bit & 7);
      note(Uint8Array.of(1), other);
    }
  }
  note(Uint8Array.of(5, 6), Uint8Array.of(7));
  note(Uint8Array.of(5), Uint8Array.of(6, 7));
  assert.equal(seen.size, made);
});

test('bytes have one hash wherever they lie in memory', () => {
  for (const length of [5, 100, 700]) {
    const value = random.bytes(length);
    const within = new Uint8Array(length + 3);
    within.set(value, 3);
    assert.equal(rowHash(value, value), rowHash(within.subarray(3), Uint8Array.from(value)));
  }
});

test('is the same for ever: states on disk carry it', () => {
  const key = Uint8Array.from({ length: 17 }, (_, i) => i * 7);
  const value = Uint8Array.from({ length: 600 }, (_, i) => i * 31);
  assert.equal(hashText(rowHash(key, value)), 'e0be36f4d967e');
  assert.equal(hashText(rowHash(key, value.subarray(0, 21))), 'f6694a55aad71');
  assert.equal(hashText(NO_ROWS_HASH), '0000000000000');
});

test('sums do not depend on the order, and what is added can be taken away', () => {
  const hashes = Array.from({ length: 50 }, (_, i) => rowHash(Uint8Array.of(i), random.bytes(9)));
  const sum = hashes.reduce(addHash, NO_ROWS_HASH);
  assert.equal(hashes.toReversed().reduce(addHash, NO_ROWS_HASH), sum);
  let left = sum;
  for (const hash of hashes) left = addHash(left, hashChange(hash, NO_ROWS_HASH));
  assert.equal(left, NO_ROWS_HASH);
});

test('a view tells by how much its writes change the hash of the store, whatever happens to them', async () => {
  const store = new MemoryKvStore();
  const view = new RowView({ cacheBytesMax: 20 * 500 });
  let kept = NO_ROWS_HASH;
  for (let round = 0; round < 300; round++) {
    for (let command = 0; command < 3; command++) {
      view.begin();
      for (let i = 0; i < 4; i++) {
        const key = Uint8Array.of(random.below(60));
        // Some rows are written without having been read.
        if (random.below(3) > 0) view.load(key, await store.get(key));
        if (random.below(3) === 0) view.del(key);
        else view.put(key, random.bytes(random.below(20)));
      }
      if (random.below(4) === 0) view.rollback();
      else view.commit();
    }
    for (const key of view.unread()) view.loadStored(key, await store.get(key));
    const change = view.hashChange();
    assert.equal(view.hashChange(), change);
    kept = addHash(kept, change);
    store.writeSync(view.takeWrites());
    const rows = store.dumpSync();
    assert.equal(kept, rows.map(([key, value]) => rowHash(key, value)).reduce(addHash, NO_ROWS_HASH));
  }
});
