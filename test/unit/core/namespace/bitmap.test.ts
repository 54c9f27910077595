import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { bitsFrom, hasBit, withBit, withoutBit } from '../../../../src/core/namespace/bitmap.ts';

test('a bitmap is a set, has no trailing zero bytes and is never changed in place', () => {
  const change = fc.tuple(fc.boolean(), fc.nat(40));
  fc.assert(
    fc.property(fc.array(change), fc.nat(40), (changes, first) => {
      let bits: Uint8Array = Buffer.alloc(0);
      const model = new Set<number>();
      for (const [add, i] of changes) {
        const before = bits;
        const frozen = bits.join();
        bits = Buffer.from(add ? withBit(bits, i) : withoutBit(bits, i));
        assert.equal(before.join(), frozen);
        if (add) model.add(i);
        else model.delete(i);
        assert.equal(hasBit(bits, i), add);
        assert.notEqual(bits.at(-1), 0);
      }
      const expected = [...model].filter((i) => i >= first).sort((a, b) => a - b);
      assert.deepEqual(bitsFrom(bits, first), expected);
    }),
  );
});
