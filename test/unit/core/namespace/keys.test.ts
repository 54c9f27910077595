import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compareBytes } from '../../../../src/base/bytes.ts';
import {
  chunkIndexOfKey,
  chunkKey,
  dentryKey,
  dentryRange,
  inodeKey,
  nameOfKey,
  numberOfKey,
} from '../../../../src/core/namespace/keys.ts';

const ino = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const name = fc.uint8Array({ minLength: 1, maxLength: 20 });

test('keys are ordered as numbers, then as names, and can be read back', () => {
  fc.assert(
    fc.property(ino, ino, name, name, (a, b, x, y) => {
      assert.equal(Math.sign(compareBytes(inodeKey(a), inodeKey(b))), Math.sign(a - b));
      assert.equal(numberOfKey(inodeKey(a)), a);
      const expected = a === b ? Math.sign(compareBytes(x, y)) : Math.sign(a - b);
      assert.equal(Math.sign(compareBytes(dentryKey(a, x), dentryKey(b, y))), expected);
      assert.deepEqual(nameOfKey(dentryKey(a, x)), x);
    }),
  );
  assert.equal(chunkIndexOfKey(chunkKey(5, 2 ** 32 - 1)), 2 ** 32 - 1);
  assert.equal(numberOfKey(chunkKey(Number.MAX_SAFE_INTEGER, 1)), Number.MAX_SAFE_INTEGER);
});

test('a directory range holds the names after a name, and nothing of other directories', () => {
  fc.assert(
    fc.property(ino, ino, name, name, (a, b, after, x) => {
      const range = dentryRange(a, after);
      const key = dentryKey(b, x);
      const inside = compareBytes(key, range.gte) >= 0 && compareBytes(key, range.lt) < 0;
      assert.equal(inside, a === b && compareBytes(x, after) > 0);
      const all = dentryRange(a, new Uint8Array(0));
      assert.ok(compareBytes(dentryKey(a, x), all.gte) >= 0 && compareBytes(dentryKey(a, x), all.lt) < 0);
    }),
  );
  // The range of the highest number of the last byte ends in the next one, not in itself.
  const range = dentryRange(255, new Uint8Array(0));
  assert.ok(compareBytes(dentryKey(256, Uint8Array.of(1)), range.lt) >= 0);
});
