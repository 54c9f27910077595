import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  conflicts,
  LOCK_END_MAX,
  type Lock,
  rangeMessage,
  rangeOf,
  withLock,
  withoutRange,
} from '../../../../../src/core/namespace/locks/ranges.ts';

const BYTES = 12n;
const OWNERS = 3;

const lock = fc
  .record({
    owner: fc.integer({ min: 1, max: OWNERS }),
    session: fc.constant(7),
    flock: fc.boolean(),
    exclusive: fc.boolean(),
    a: fc.bigInt({ min: 0n, max: BYTES - 1n }),
    b: fc.bigInt({ min: 0n, max: BYTES - 1n }),
    release: fc.boolean(),
  })
  .map(({ a, b, release, ...rest }) => {
    const [first, last] = a <= b ? [a, b] : [b, a];
    return { release, lock: { ...rest, first, last, pid: 1, ticket: 0 } };
  });

/** What each owner has on each byte. */
type Model = Map<string, boolean>;
const place = (l: Lock, byte: bigint): string => `${l.owner}/${l.flock}/${byte}`;

function modelOf(held: readonly Lock[]): Model {
  const model: Model = new Map();
  for (const l of held) {
    for (let byte = l.first; byte <= l.last; byte++) {
      assert.ok(!model.has(place(l, byte)), 'locks of one owner are disjoint');
      model.set(place(l, byte), l.exclusive);
    }
  }
  return model;
}

function sorted(model: Model): [string, boolean][] {
  return [...model].sort(([a], [b]) => (a < b ? -1 : 1));
}

describe('ranges of locks', () => {
  it('behave like a lock on each byte, for locking, converting, unlocking and conflicts', () => {
    fc.assert(
      fc.property(fc.array(lock, { maxLength: 40 }), (steps) => {
        let held: Lock[] = [];
        const model: Model = new Map();
        for (const { release, lock: wanted } of steps) {
          const blocked = held.some((other) => conflicts(other, wanted));
          let expected = false;
          for (let byte = wanted.first; byte <= wanted.last; byte++) {
            for (let owner = 1; owner <= OWNERS; owner++) {
              const other = model.get(`${owner}/${wanted.flock}/${byte}`);
              if (owner !== wanted.owner && other !== undefined && (other || wanted.exclusive))
                expected = true;
            }
          }
          assert.equal(blocked, expected);
          if (release) held = withoutRange(held, wanted);
          else if (!blocked) held = withLock(held, wanted);
          else continue;
          for (let byte = wanted.first; byte <= wanted.last; byte++) {
            if (release) model.delete(place(wanted, byte));
            else model.set(place(wanted, byte), wanted.exclusive);
          }
          assert.deepEqual(sorted(modelOf(held)), sorted(model));
          // As few as can be: neighbours of the same type are one.
          for (const a of held) {
            const next = held.find((b) => place(a, 0n) === place(b, 0n) && b.first === a.last + 1n);
            assert.ok(next === undefined || next.exclusive !== a.exclusive, 'adjacent locks are joined');
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  it('go up to the largest offset and survive the wire', () => {
    for (const [first, last] of [
      [0n, 0n],
      [0n, LOCK_END_MAX],
      [2n ** 32n - 1n, 2n ** 32n],
      [2n ** 53n + 1n, LOCK_END_MAX - 1n],
    ] as const) {
      assert.deepEqual(rangeOf(rangeMessage(first, last)), { first, last });
    }
    assert.equal(rangeOf(rangeMessage(5n, 4n)), undefined);
    assert.equal(rangeOf(rangeMessage(0n, LOCK_END_MAX + 1n)), undefined);
    assert.equal(rangeOf(undefined), undefined);
  });
});
