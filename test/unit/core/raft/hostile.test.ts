import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { mayPrecedePersistence } from '../../../../src/core/raft/messages.ts';
import { type RaftMessage, RaftMessageType as T } from '../../../../src/gen/ringfs/v1/raft.ts';
import { confState, createNode, drain, entry, message, TestCluster } from '../../../support/raft-cluster.ts';

const NUMBERS = [0, 1, 2, 3, 4, 7, 2 ** 40, 2 ** 53, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY];
const number = fc.constantFrom(...NUMBERS);
const someEntry = fc.record({
  index: number,
  term: number,
  type: fc.constantFrom(0, 1, 2, -1) as fc.Arbitrary<0 | 1 | 2 | -1>,
  data: fc.uint8Array({ maxLength: 4 }),
});
const hostile: fc.Arbitrary<RaftMessage> = fc.record({
  type: fc.constantFrom(...Object.values(T)),
  from: fc.constantFrom('a', 'b', 'c', 'stranger', ''),
  to: fc.constantFrom('a', 'a', 'a', 'b', ''),
  term: number,
  logTerm: number,
  index: number,
  commit: number,
  entries: fc.array(someEntry, { maxLength: 3 }),
  reject: fc.boolean(),
  rejectHint: number,
  rejectHintTerm: number,
  snapshot: fc.constant(undefined),
  context: number,
  force: fc.boolean(),
});

describe('hostile messages', () => {
  it('never throw, never take back what is committed, never break the marks', () => {
    fc.assert(
      fc.property(fc.array(hostile, { maxLength: 60 }), fc.boolean(), (messages, lead) => {
        const node = createNode('a', confState(['a', 'b', 'c']), {
          initial: {
            hardState: { term: 2, votedFor: undefined, commit: 3 },
            entries: [entry(1, 1), entry(2, 1), entry(3, 2), entry(4, 2)],
          },
        });
        if (lead) {
          node.campaign();
          node.step(message(T.PRE_VOTE_RESPONSE, 'b', 'a', 3));
          drain(node);
          node.step(message(T.VOTE_RESPONSE, 'b', 'a', 3));
          drain(node);
          assert.equal(node.status().role, 'leader');
        }
        for (const each of messages) {
          const before = node.status();
          node.step(each);
          drain(node);
          node.tick();
          const after = node.status();
          assert.ok(after.commit >= before.commit && after.term >= before.term);
          assert.ok(after.applied <= after.commit && after.commit <= after.lastIndex);
        }
        assert.deepEqual(
          [1, 2, 3].map((index) => node.term(index)),
          [1, 1, 2],
        );
      }),
      { numRuns: 500, seed: 11 },
    );
  });

  const dropped: [string, RaftMessage][] = [
    ['from a stranger, an answer', message(T.APPEND_RESPONSE, 'z', 'a', 99, { index: 1 })],
    ['to somebody else', message(T.HEARTBEAT, 'b', 'c', 99)],
    ['from itself', message(T.HEARTBEAT, 'a', 'a', 99)],
    ['with an absurd term', message(T.HEARTBEAT, 'b', 'a', 2 ** 52)],
    ['with an absurd index', message(T.APPEND, 'b', 'a', 9, { index: 2 ** 52, logTerm: 1 })],
    ['with a gap between entries', message(T.APPEND, 'b', 'a', 9, { entries: [entry(1, 1), entry(3, 1)] })],
    ['with terms that decrease', message(T.APPEND, 'b', 'a', 9, { entries: [entry(1, 3), entry(2, 2)] })],
    ['with entries of a later term', message(T.APPEND, 'b', 'a', 9, { entries: [entry(1, 10)] })],
    ['without a term', message(T.HEARTBEAT, 'b', 'a', 0)],
    ['of an unknown type', message(T.UNRECOGNIZED, 'b', 'a', 0)],
  ];
  for (const [what, each] of dropped) {
    it(`dropped: ${what}`, () => {
      const node = createNode('a', confState(['a', 'b', 'c']));
      node.step(each);
      assert.equal(node.hasReady(), false);
      assert.equal(node.status().term, 0);
    });
  }

  it('a second leader of the same term is not followed, nor by the first', () => {
    const cluster = new TestCluster(['a', 'b', 'c']);
    cluster.elect('a');
    for (const id of ['a', 'b']) {
      const node = cluster.node(id);
      node.step(message(T.APPEND, 'c', id, 1, { index: 1, logTerm: 1, entries: [entry(2, 1)] }));
      assert.equal(node.status().lastIndex, 1);
      assert.equal(node.status().leader, 'a');
    }
  });

  it('an acknowledgement of entries that do not exist is dropped', () => {
    const cluster = new TestCluster(['a', 'b', 'c']);
    const leader = cluster.elect('a');
    leader.step(message(T.APPEND_RESPONSE, 'b', 'a', 1, { index: 50 }));
    leader.step(message(T.HEARTBEAT_RESPONSE, 'b', 'a', 1, { context: 2 ** 40 }));
    assert.equal(leader.status().progress.find((p) => p.id === 'b')?.match, 1);
  });
});

describe('the contract of the driver', () => {
  it('only what a leader sends may precede persistence', () => {
    for (const type of Object.values(T)) {
      const expected = type === T.APPEND || type === T.HEARTBEAT;
      assert.equal(mayPrecedePersistence(message(type, 'a', 'b', 1)), expected);
    }
  });

  it('one Ready at a time', () => {
    const node = createNode('a', confState(['a']));
    node.campaign();
    const ready = node.ready();
    assert.throws(() => node.ready(), /before advance/);
    assert.throws(() => node.advance({ ...ready }), /something else/);
    const meta = { index: 9, term: 1, confState: confState(['a']) };
    assert.throws(() => node.restoreSnapshot(meta), /between ready/);
  });

  it('compaction beyond what is applied is a mistake', () => {
    const node = createNode('a', confState(['a']));
    node.campaign();
    drain(node);
    node.propose(new Uint8Array(1));
    assert.throws(() => node.compact(2), /not applied/);
  });

  it('the size of the log is that of its entries', () => {
    const node = createNode('a', confState(['a']));
    node.campaign();
    drain(node);
    const before = node.logBytes();
    node.propose(new Uint8Array(1000));
    drain(node);
    assert.equal(node.logBytes(), before + 1000 + 32);
    node.compact(2);
    assert.equal(node.logBytes(), 0);
    assert.equal(node.term(2), 1);
    const conf = confState(['a']);
    assert.deepEqual(node.snapshotMetaAt(2, conf), { index: 2, term: 1, confState: conf });
  });
});
