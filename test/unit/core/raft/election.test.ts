import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ServerId } from '../../../../src/base/ids.ts';
import { RaftMessageType as T } from '../../../../src/gen/ringfs/v1/raft.ts';
import {
  confState,
  createNode,
  drain,
  ELECTION_TICKS,
  entry,
  HEARTBEAT_TICKS,
  message,
  TestCluster,
  tickTimes,
} from '../../../support/raft-cluster.ts';

const ABC = confState(['a', 'b', 'c']);
const hardState = (term: number, votedFor?: string, commit = 0) => ({
  term,
  votedFor: votedFor as ServerId | undefined,
  commit,
});

describe('leader election (Raft paper, 5.2)', () => {
  it('a single voter elects itself, and only after its vote is persisted', () => {
    const node = createNode('a', confState(['a']));
    node.campaign();
    assert.equal(node.status().role, 'candidate');
    const ready = node.ready();
    assert.deepEqual(ready.hardState, { term: 1, votedFor: 'a', commit: 0 });
    assert.equal(ready.mustSync, true);
    assert.equal(node.status().role, 'candidate');
    node.advance(ready);
    assert.equal(node.status().role, 'leader');
    drain(node);
    assert.equal(node.status().commit, 1);
  });

  it('a vote cast while an earlier Ready is being persisted does not count with that one', () => {
    const node = createNode('a', confState(['a']));
    node.step(message(T.PRE_VOTE, 'z', 'a', 1, { force: true }));
    const earlier = node.ready();
    node.campaign();
    node.advance(earlier);
    assert.equal(node.status().role, 'candidate');
    drain(node);
    assert.equal(node.status().role, 'leader');
  });

  it('a candidate that learns of a committed configuration change starts again under it', () => {
    const change = { ...entry(1, 1), type: 2 as const };
    const node = createNode('a', ABC, { initial: { hardState: hardState(1), entries: [change] } });
    node.campaign();
    node.step(message(T.PRE_VOTE_RESPONSE, 'b', 'a', 2, { commit: 1, rejectHintTerm: 1 }));
    assert.equal(node.status().commit, 1);
    assert.equal(node.status().role, 'follower');
  });

  it('election timeouts are drawn from [n, 2n)', () => {
    const seen = new Set<number>();
    for (let seed = 0; seed < 100; seed++) {
      const node = createNode(
        String.fromCharCode(65 + seed),
        confState([String.fromCharCode(65 + seed), 'z']),
      );
      let ticks = 0;
      while (node.status().role === 'follower') {
        node.tick();
        ticks += 1;
      }
      assert.ok(ticks >= ELECTION_TICKS && ticks < 2 * ELECTION_TICKS, `${ticks}`);
      seen.add(ticks);
    }
    assert.ok(seen.size >= 8, `only ${seen.size} different timeouts`);
  });

  it('a majority elects, a minority does not', () => {
    const cluster = new TestCluster(['a', 'b', 'c', 'd', 'e']);
    cluster.drop = (m) => m.to === 'c' || m.to === 'd' || m.to === 'e';
    cluster.node('a').campaign();
    cluster.settle();
    assert.equal(cluster.node('a').status().role, 'pre-candidate');
    cluster.drop = (m) => m.to === 'd' || m.to === 'e';
    cluster.elect('a');
  });

  it('votes once per term, first come first served, and repeats its answer', () => {
    const node = createNode('a', ABC);
    const vote = (from: string) => message(T.VOTE, from, 'a', 1, { index: 0 });
    const answer = (from: string) => {
      node.step(vote(from));
      return drain(node).map((m) => [m.to, m.reject]);
    };
    assert.deepEqual(answer('b'), [['b', false]]);
    assert.deepEqual(answer('c'), [['c', true]]);
    assert.deepEqual(answer('b'), [['b', false]]);
  });

  it('the vote is persisted before the answer is sent', () => {
    const node = createNode('a', ABC);
    node.step(message(T.VOTE, 'b', 'a', 3));
    const ready = node.ready();
    assert.deepEqual(ready.hardState, { term: 3, votedFor: 'b', commit: 0 });
    assert.equal(ready.mustSync, true);
    assert.equal(ready.messages[0]?.type, T.VOTE_RESPONSE);
  });

  it('remembers its vote over a restart', () => {
    const node = createNode('a', ABC, { initial: { hardState: hardState(3, 'b') } });
    tickTimes(node, ELECTION_TICKS - 1);
    node.tick();
    node.step(message(T.VOTE, 'c', 'a', 3, { force: true }));
    assert.equal(drain(node).find((m) => m.type === T.VOTE_RESPONSE)?.reject, true);
  });

  it('a new leader appends an empty entry of its term (thesis, 6.4)', () => {
    const cluster = new TestCluster(['a', 'b', 'c']);
    cluster.elect('a');
    cluster.tick(HEARTBEAT_TICKS);
    assert.deepEqual(cluster.applied.get('b'), [entry(1, 1)]);
  });

  it('asks again when a vote request was lost', () => {
    const node = createNode('a', ABC);
    node.campaign();
    assert.equal(drain(node).filter((m) => m.type === T.PRE_VOTE).length, 2);
    tickTimes(node, 2);
    assert.equal(drain(node).filter((m) => m.type === T.PRE_VOTE).length, 2);
  });

  it('a learner neither campaigns nor counts, but votes when asked', () => {
    const node = createNode('c', confState(['a', 'b'], ['c']));
    tickTimes(node, 5 * ELECTION_TICKS);
    node.campaign();
    assert.equal(node.status().role, 'follower');
    node.step(message(T.VOTE, 'a', 'c', 1));
    assert.equal(drain(node)[0]?.reject, false);
  });

  it('an unapplied configuration change bars the way to candidacy', () => {
    const change = { ...entry(1, 1), type: 2 as const };
    const initial = { hardState: hardState(1, undefined, 1), entries: [change] };
    const node = createNode('a', ABC, { initial });
    node.campaign();
    assert.equal(node.status().role, 'follower');
    drain(node);
    node.campaign();
    assert.equal(node.status().role, 'pre-candidate');
  });
});

describe('election restriction (Raft paper, 5.4.1)', () => {
  const initial = { hardState: hardState(2), entries: [entry(1, 1), entry(2, 2)] };
  const ask = (index: number, logTerm: number): boolean => {
    const node = createNode('a', ABC, { initial });
    node.step(message(T.VOTE, 'b', 'a', 9, { index, logTerm, force: true }));
    return !drain(node)[0]!.reject;
  };

  it('a later last term wins, whatever the length', () => assert.equal(ask(1, 3), true));
  it('an earlier last term loses, whatever the length', () => assert.equal(ask(9, 1), false));
  it('with the same last term the longer log wins', () => assert.equal(ask(3, 2), true));
  it('with the same last term an equal log suffices', () => assert.equal(ask(2, 2), true));
  it('with the same last term the shorter log loses', () => assert.equal(ask(1, 2), false));
});

describe('pre-vote (thesis, 9.6)', () => {
  it('changes no term, neither here nor there', () => {
    const cluster = new TestCluster(['a', 'b', 'c']);
    cluster.isolate('a');
    tickTimes(cluster.node('a'), 20 * ELECTION_TICKS);
    assert.equal(cluster.node('a').status().term, 0);
    const voter = createNode('b', ABC);
    voter.step(message(T.PRE_VOTE, 'a', 'b', 1));
    const [answer] = drain(voter);
    assert.deepEqual([answer?.type, answer?.term, answer?.reject], [T.PRE_VOTE_RESPONSE, 1, false]);
    assert.equal(voter.status().term, 0);
  });

  it('a partitioned server disturbs nobody when it comes back', () => {
    const cluster = new TestCluster(['a', 'b', 'c']);
    cluster.elect('a');
    cluster.isolate('c');
    cluster.tick(5 * ELECTION_TICKS);
    cluster.drop = () => false;
    cluster.tick(3 * ELECTION_TICKS);
    assert.equal(cluster.node('a').status().role, 'leader');
    assert.equal(cluster.node('a').status().term, 1);
    assert.equal(cluster.node('c').status().leader, 'a');
  });

  it('a candidate of an old term learns the new one from the refusal', () => {
    const node = createNode('a', ABC);
    node.campaign();
    node.step(message(T.PRE_VOTE_RESPONSE, 'b', 'a', 7, { reject: true }));
    assert.equal(node.status().term, 7);
    assert.equal(node.status().role, 'follower');
  });

  it('an agreement to another term than the one asked for does not count', () => {
    const node = createNode('a', ABC);
    node.campaign();
    node.step(message(T.PRE_VOTE_RESPONSE, 'b', 'a', 5));
    assert.equal(node.status().role, 'pre-candidate');
    node.step(message(T.PRE_VOTE_RESPONSE, 'b', 'a', 1));
    assert.equal(node.status().role, 'candidate');
  });
});

describe('leader stickiness (thesis, 4.2.3)', () => {
  const heartbeat = (term: number) => message(T.HEARTBEAT, 'b', 'a', term, { context: 1 });
  const request = (term: number, force = false) => message(T.VOTE, 'c', 'a', term, { force });
  const answers = (node: ReturnType<typeof createNode>) =>
    drain(node).filter((m) => m.type === T.VOTE_RESPONSE).length;

  it('votes and terms are ignored until an election timeout after the last contact', () => {
    const node = createNode('a', ABC);
    node.step(heartbeat(1));
    tickTimes(node, ELECTION_TICKS - 1);
    node.step(request(2));
    assert.equal(answers(node), 0);
    assert.equal(node.status().term, 1);
    node.tick();
    node.step(request(2));
    assert.equal(answers(node), 1);
  });

  it('a leadership transfer overrides it', () => {
    const node = createNode('a', ABC);
    node.step(heartbeat(1));
    node.step(request(2, true));
    assert.equal(answers(node), 1);
  });

  it('the promise outlives a change of term', () => {
    const node = createNode('a', ABC);
    node.step(heartbeat(1));
    node.step(message(T.VOTE_RESPONSE, 'c', 'a', 2, { reject: true }));
    assert.equal(node.status().term, 2);
    node.step(request(2));
    node.step(request(3));
    assert.equal(answers(node), 0);
  });

  it('the promise outlives a restart', () => {
    const node = createNode('a', ABC, { initial: { hardState: hardState(1) } });
    node.step(request(2));
    assert.equal(answers(node), 0);
    tickTimes(node, ELECTION_TICKS);
    node.step(request(2));
    assert.equal(answers(node), 1);
  });
});

describe('check quorum (thesis, 6.2)', () => {
  it('a leader without a quorum for an election timeout steps down', () => {
    const cluster = new TestCluster(['a', 'b', 'c']);
    cluster.elect('a');
    cluster.isolate('a');
    cluster.tick(ELECTION_TICKS - 1);
    assert.equal(cluster.node('a').status().role, 'leader');
    cluster.tick();
    assert.equal(cluster.node('a').status().role, 'follower');
  });

  it('a leader with a quorum stays', () => {
    const cluster = new TestCluster(['a', 'b', 'c']);
    cluster.elect('a');
    cluster.isolate('c');
    cluster.tick(10 * ELECTION_TICKS);
    assert.equal(cluster.node('a').status().role, 'leader');
  });

  it('a deposed leader is told so, and a server with a later term is taken in', () => {
    const cluster = new TestCluster(['a', 'b', 'c']);
    cluster.elect('a');
    cluster.node('c').step(message(T.VOTE_RESPONSE, 'b', 'c', 8, { reject: true }));
    cluster.tick(5 * ELECTION_TICKS);
    const leaders = [...cluster.nodes.values()].filter((n) => n.status().role === 'leader');
    assert.equal(leaders.length, 1);
    assert.ok(leaders[0]!.status().term > 8);
    for (const node of cluster.nodes.values()) assert.equal(node.status().leader, leaders[0]!.status().id);
  });
});
