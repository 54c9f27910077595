import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { RaftMessageType as T } from '../../../../src/gen/ringfs/v1/raft.ts';
import {
  confState,
  createNode,
  drain,
  entry,
  message,
  TestCluster,
  tickTimes,
} from '../../../support/raft-cluster.ts';

const bytes = (text: string) => Uint8Array.from(text, (c) => c.charCodeAt(0));

describe('terms (Raft paper, 5.1)', () => {
  it('a later term in any answer ends a leadership', () => {
    for (const type of [T.APPEND_RESPONSE, T.HEARTBEAT_RESPONSE, T.VOTE_RESPONSE]) {
      const cluster = new TestCluster(['a', 'b', 'c']);
      const leader = cluster.elect('a');
      leader.step(message(type, 'b', 'a', 7, { reject: true }));
      const { role, term, leader: known } = leader.status();
      assert.deepEqual([role, term, known], ['follower', 7, undefined]);
      assert.equal(leader.propose(bytes('x')).ok, false);
    }
  });

  it('what a leader of an earlier term says changes nothing', () => {
    const node = createNode('b', confState(['a', 'b', 'c']), {
      initial: { hardState: { term: 5, votedFor: undefined, commit: 0 } },
    });
    for (const type of [T.APPEND, T.HEARTBEAT, T.SNAPSHOT, T.TIMEOUT_NOW, T.VOTE]) {
      node.step(
        message(type, 'a', 'b', 4, { entries: type === T.APPEND ? [entry(1, 4, 'x')] : [], commit: 1 }),
      );
    }
    for (const answer of drain(node))
      assert.ok(answer.reject || answer.term === 5, 'at most told the later term');
    const { role, term, leader, commit, lastIndex } = node.status();
    assert.deepEqual([role, term, leader, commit, lastIndex], ['follower', 5, undefined, 0, 0]);
  });
});

describe('candidates (Raft paper, 5.2)', () => {
  it('follow a leader of their own term', () => {
    for (const type of [T.APPEND, T.HEARTBEAT]) {
      const node = createNode('a', confState(['a', 'b', 'c']));
      node.campaign();
      drain(node);
      node.step(message(T.PRE_VOTE_RESPONSE, 'b', 'a', 1));
      drain(node);
      assert.deepEqual([node.status().role, node.status().term], ['candidate', 1]);
      node.step(message(type, 'c', 'a', 1));
      assert.deepEqual([node.status().role, node.status().leader, node.status().term], ['follower', 'c', 1]);
      node.step(message(T.VOTE_RESPONSE, 'b', 'a', 1));
      assert.equal(node.status().role, 'follower', 'a late vote does not make it a leader');
    }
  });

  it('that nobody answers start again in pre-votes, without new terms', () => {
    const node = createNode('a', confState(['a', 'b', 'c']));
    tickTimes(node, 200);
    drain(node);
    assert.equal(node.status().term, 0);
  });
});

describe('appends (Raft paper, 5.3)', () => {
  it('that arrive late or twice take nothing back', () => {
    const node = createNode('b', confState(['a', 'b', 'c']));
    const append = (from: number, to: number, commit: number) =>
      message(T.APPEND, 'a', 'b', 1, {
        index: from - 1,
        logTerm: from === 1 ? 0 : 1,
        entries: Array.from({ length: to - from + 1 }, (_, i) => entry(from + i, 1, `x${from + i}`)),
        commit,
      });
    node.step(append(1, 5, 4));
    drain(node);
    for (const late of [append(1, 2, 0), append(1, 5, 1), append(3, 3, 2), append(1, 1, 0)]) {
      node.step(late);
      drain(node);
      assert.deepEqual([node.status().lastIndex, node.status().commit], [5, 4]);
    }
  });

  it('without the entry before them are refused and leave the log as it was', () => {
    const node = createNode('b', confState(['a', 'b', 'c']));
    node.step(message(T.APPEND, 'a', 'b', 2, { entries: [entry(1, 1, 'x'), entry(2, 1, 'y')] }));
    drain(node);
    for (const [index, logTerm] of [
      [3, 2],
      [2, 2],
    ] as const) {
      node.step(
        message(T.APPEND, 'a', 'b', 2, { index, logTerm, entries: [entry(index + 1, 2, 'z')], commit: 9 }),
      );
      const [answer] = drain(node);
      assert.deepEqual([answer?.type, answer?.reject], [T.APPEND_RESPONSE, true]);
      assert.deepEqual([node.status().lastIndex, node.status().commit, node.term(2)], [2, 0, 1]);
    }
  });
});

/** Rule, where it is from, and the test of it: a file of this folder and a title in it, or a transcript. */
const RULES: readonly (readonly [rule: string, source: string, file: string, title: string])[] = [
  [
    'at most one leader in a term',
    'paper 5.2',
    'election.test.ts',
    'votes once per term, first come first served',
  ],
  [
    'a vote is durable before it is given',
    'paper 5.2',
    'election.test.ts',
    'the vote is persisted before the answer is sent',
  ],
  [
    'a later term is taken over',
    'paper 5.1',
    'rules.test.ts',
    'a later term in any answer ends a leadership',
  ],
  [
    'an earlier term is refused',
    'paper 5.1',
    'rules.test.ts',
    'what a leader of an earlier term says changes nothing',
  ],
  ['a candidate yields to a leader', 'paper 5.2', 'rules.test.ts', 'follow a leader of their own term'],
  ['timeouts are drawn anew', 'paper 5.2', 'election.test.ts', 'election timeouts are drawn from [n, 2n)'],
  ['split votes', 'paper 5.2', 'transcripts/split-vote.txt', 'nobody votes twice'],
  [
    'appends check the entry before',
    'paper 5.3',
    'rules.test.ts',
    'without the entry before them are refused',
  ],
  ['appends are idempotent', 'paper 5.3', 'rules.test.ts', 'that arrive late or twice take nothing back'],
  [
    'conflicts are replaced, matches kept',
    'paper 5.3',
    'replication.test.ts',
    'a follower replaces a conflicting suffix and keeps a matching one',
  ],
  [
    'back to where the logs agree',
    'paper 5.3',
    'replication.test.ts',
    'the hint of a refusal skips whole terms',
  ],
  ['election restriction', 'paper 5.4.1', 'election.test.ts', 'a later last term wins, whatever the length'],
  [
    'no commit by counting old terms',
    'paper 5.4.2',
    'replication.test.ts',
    'entries of earlier terms are not committed by counting (figure 8)',
  ],
  ['figure 8', 'paper 5.4.2', 'transcripts/figure-8.txt', 'Figure 8'],
  [
    'an empty entry at the start of a term',
    'thesis 6.4',
    'election.test.ts',
    'a new leader appends an empty entry of its term',
  ],
  [
    'a commit mark proves no more than the message',
    'paper 5.3',
    'replication.test.ts',
    'a follower commits no further than what the message proves',
  ],
  ['what is committed stays', 'paper 5.4.3', 'replication.test.ts', 'a committed entry is never replaced'],
  [
    'answers after persistence',
    'paper 5.5',
    'transcripts/crash.txt',
    'What was acknowledged was persisted before',
  ],
  [
    'a leader writes beside its followers',
    'thesis 10.2.1',
    'replication.test.ts',
    'the leader counts itself only once its entry is persisted',
  ],
  [
    'snapshots',
    'paper 7',
    'replication.test.ts',
    'a follower behind the first index gets a snapshot and goes on from there',
  ],
  ['a stale snapshot', 'paper 7', 'replication.test.ts', 'a stale snapshot is refused'],
  ['leadership transfer', 'thesis 3.10', 'reads-and-transfer.test.ts', 'brings the target up to date first'],
  [
    'one change at a time',
    'thesis 4.1',
    'membership.test.ts',
    'one change at a time: a second one waits until the first is applied',
  ],
  [
    'no change before a commit of the term',
    'thesis 4.1 (erratum)',
    'membership.test.ts',
    'a new leader takes no change before it applied what it found in its log',
  ],
  [
    'learners first',
    'thesis 4.2.1',
    'membership.test.ts',
    'a new server joins with a snapshot, learns, and is promoted',
  ],
  [
    'a leader that removes itself',
    'thesis 4.2.2',
    'membership.test.ts',
    'a leader that removes itself steps down once that is committed',
  ],
  [
    'no votes within a timeout of a leader',
    'thesis 4.2.3',
    'election.test.ts',
    'votes and terms are ignored until an election timeout after the last contact',
  ],
  [
    'joint majorities',
    'thesis 4.3',
    'membership.test.ts',
    'a joint configuration needs both majorities and is left by itself',
  ],
  ['joint configurations by hand', 'thesis 4.3', 'transcripts/joint.txt', 'both majorities decide'],
  [
    'check quorum',
    'thesis 6.2',
    'election.test.ts',
    'a leader without a quorum for an election timeout steps down',
  ],
  [
    'reads confirm the leadership',
    'thesis 6.4',
    'reads-and-transfer.test.ts',
    'the leader answers after a heartbeat round with its commit mark',
  ],
  [
    'reads wait for the term’s first commit',
    'thesis 6.4',
    'reads-and-transfer.test.ts',
    'the leader refuses until it has committed in its term',
  ],
  [
    'a lease from the sending',
    'thesis 6.4.1',
    'reads-and-transfer.test.ts',
    'counts from the sending of the heartbeat',
  ],
  ['pre-votes', 'thesis 9.6', 'election.test.ts', 'changes no term, neither here nor there'],
];

describe('rules that the core relies on', () => {
  const folder = path.resolve(import.meta.dirname, '../../../../../test/unit/core/raft');
  for (const [rule, source, file, title] of RULES) {
    it(`${rule} (${source}): there is a test in ${file}`, () => {
      assert.ok(readFileSync(path.join(folder, file), 'utf8').includes(title), `no '${title}' in ${file}`);
    });
  }
});
