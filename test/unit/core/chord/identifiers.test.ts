import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  addPowerOfTwo,
  arcFraction,
  isBetween,
  isInRange,
  type Position,
  toPosition,
} from '../../../../src/core/chord/identifiers.ts';

const MODULUS = 1n << 256n;
const point = fc.bigInt({ min: 0n, max: MODULUS - 1n });
const text = (n: bigint): Position => toPosition(n.toString(16).padStart(64, '0'));

describe('chord identifiers', () => {
  it('between agrees with distances clockwise', () => {
    const close = fc.integer({ min: -2, max: 2 });
    fc.assert(
      fc.property(point, close, close, point, fc.boolean(), (base, d1, d2, other, near) => {
        const move = (d: number): bigint => (base + BigInt(d) + MODULUS) % MODULUS;
        const [a, x, b] = near ? [base, move(d1), move(d2)] : [base, other, move(d2)];
        const distance = (from: bigint, to: bigint): bigint => (to - from + MODULUS) % MODULUS;
        const arc = a === b ? MODULUS : distance(a, b);
        const expected = x !== a && distance(a, x) < arc;
        assert.equal(isBetween(text(a), text(x), text(b)), expected && x !== b);
        assert.equal(isInRange(text(a), text(x), text(b)), expected || x === b);
      }),
    );
  });

  it('adds powers of two round the circle', () => {
    fc.assert(
      fc.property(point, fc.integer({ min: 0, max: 255 }), (n, bit) => {
        assert.equal(addPowerOfTwo(text(n), bit), text((n + (1n << BigInt(bit))) % MODULUS));
      }),
    );
  });

  it('measures arcs', () => {
    assert.equal(arcFraction(text(0n), text(MODULUS / 4n)), 0.25);
    assert.equal(arcFraction(text((MODULUS * 3n) / 4n), text(MODULUS / 4n)), 0.5);
    assert.equal(arcFraction(text(5n), text(5n)), 1);
  });

  it('refuses what is no position', () => {
    assert.throws(() => toPosition('12'));
    assert.throws(() => toPosition('G'.repeat(64)));
  });
});
