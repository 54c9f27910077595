import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { RaftLog } from '../../../../src/core/raft/log.ts';
import { jointValue, jointVote, majorityValue } from '../../../../src/core/raft/quorum.ts';
import { Rounds } from '../../../../src/core/raft/rounds.ts';
import type { RaftEntry } from '../../../../src/gen/ringfs/v1/raft.ts';
import { entry } from '../../../support/raft-cluster.ts';

function logOf(...terms: number[]): RaftLog {
  const entries = terms.map((term, i) => entry(i + 1, term));
  return new RaftLog({ index: 0, term: 0, entries, commit: 0, applied: 0 });
}

describe('RaftLog', () => {
  it('finds the last index with a term at most', () => {
    const log = logOf(1, 1, 3, 3, 3, 5);
    for (let index = 0; index <= 8; index++) {
      for (let term = 0; term <= 6; term++) {
        let expected = Math.min(index, 6);
        while (expected > 0 && log.termAt(expected) > term) expected -= 1;
        assert.equal(log.lastWithTermAtMost(index, term), expected, `${index} ${term}`);
      }
    }
  });

  it('slices by bytes, at least one entry', () => {
    const log = logOf(1, 1, 1);
    assert.equal(log.slice(1, 3, 0).length, 1);
    assert.equal(log.slice(1, 3, 64).length, 2);
    assert.equal(log.slice(1, 3, Number.POSITIVE_INFINITY).length, 3);
    assert.deepEqual(log.slice(4, 3, 100), []);
  });

  it('refuses to start with a gap, or without entries that are committed', () => {
    const start = (entries: RaftEntry[], commit: number) => () =>
      new RaftLog({ index: 5, term: 1, entries, commit, applied: 5 });
    assert.throws(start([entry(7, 1)], 5), /gap/);
    assert.throws(start([entry(6, 1)], 7), /commit/);
    start([entry(6, 1)], 6)();
  });

  it('behaves like a plain array under appends, truncations and compactions', () => {
    const action = fc.record({
      kind: fc.constantFrom('append', 'replace', 'apply', 'compact'),
      n: fc.nat(3000),
    });
    fc.assert(
      fc.property(fc.array(action, { maxLength: 40 }), (actions) => {
        const log = logOf();
        let model: RaftEntry[] = [];
        let base = 0;
        let term = 1;
        for (const { kind, n } of actions) {
          const last = base + model.length;
          if (kind === 'append') {
            const entries = Array.from({ length: n }, (_, i) => entry(last + 1 + i, term, `${i}`));
            assert.equal(log.appendAfter(last, log.termAt(last), entries), true);
            model = model.concat(entries);
          } else if (kind === 'replace') {
            const at = Math.max(log.commit + 1, last - (n % 100));
            if (at > last) continue;
            term += 1;
            assert.equal(log.appendAfter(at - 1, log.termAt(at - 1), [entry(at, term)]), true);
            model = [...model.slice(0, at - base - 1), entry(at, term)];
          } else if (kind === 'apply') {
            const at = Math.min(last, log.applied + n);
            log.stableTo(last, log.lastTerm);
            log.commitTo(at);
            log.appliedTo(at);
          } else {
            const at = Math.max(log.applied, Math.min(last, base + n));
            log.commitTo(at);
            log.appliedTo(at);
            log.compact(at);
            model = model.slice(at - base);
            base = at;
          }
          assert.equal(log.lastIndex, base + model.length);
          assert.equal(log.firstIndex, base + 1);
          const data = model.reduce((sum, e) => sum + e.data.length, 0);
          assert.equal(log.bytes, model.length * 32 + data);
          assert.deepEqual(log.slice(base + 1, log.lastIndex, Number.POSITIVE_INFINITY), model);
          assert.equal(log.term(log.firstIndex - 2), undefined);
          assert.equal(log.term(log.lastIndex + 1), undefined);
        }
      }),
      { numRuns: 40, seed: 7 },
    );
  });
});

describe('quorums (thesis, 4.3)', () => {
  const same = (x: number): number => x;

  it('the value that a majority reached', () => {
    assert.equal(majorityValue([5], same), 5);
    assert.equal(majorityValue([5, 3], same), 3);
    assert.equal(majorityValue([5, 3, 9], same), 5);
    assert.equal(majorityValue([1, 2, 3, 4], same), 2);
    assert.equal(majorityValue([1, 2, 3, 4, 5], same), 3);
  });

  it('agrees with the definition', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(9), { minLength: 1, maxLength: 9 }), (values) => {
        const result = majorityValue(values, same);
        const reached = (v: number) => values.filter((x) => x >= v).length > values.length / 2;
        return reached(result) && !reached(result + 1);
      }),
    );
  });

  it('a joint quorum is the weaker half; an empty half does not count', () => {
    assert.equal(jointValue([5, 5, 5], [1, 2, 3], same), 2);
    assert.equal(jointValue([5, 5, 5], [], same), 5);
  });

  it('a vote is won in both halves and lost in either', () => {
    const vote = (a: (boolean | undefined)[], b: (boolean | undefined)[]) => jointVote(a, b, (x) => x);
    assert.equal(vote([true, true, undefined], []), 'won');
    assert.equal(vote([true, undefined, undefined], []), 'pending');
    assert.equal(vote([true, false, false], []), 'lost');
    assert.equal(vote([true, true], [true, undefined]), 'pending');
    assert.equal(vote([true, true], [false, true]), 'lost');
    assert.equal(vote([true, true], [true]), 'won');
  });
});

describe('heartbeat rounds', () => {
  it('tell the tick at which the latest answered round was sent', () => {
    const rounds = new Rounds();
    for (const tick of [1, 1, 4, 4, 4, 9]) rounds.start(tick);
    rounds.answered(0);
    assert.equal(rounds.quorumTick, Number.NEGATIVE_INFINITY);
    rounds.answered(1);
    assert.equal(rounds.quorumTick, 1);
    rounds.answered(4);
    assert.equal(rounds.quorumTick, 4);
    rounds.answered(3);
    assert.equal(rounds.quorumTick, 4);
    rounds.answered(6);
    assert.equal(rounds.quorumTick, 9);
  });
});
