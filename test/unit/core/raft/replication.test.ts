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
} from '../../../support/raft-cluster.ts';

const ABC = confState(['a', 'b', 'c']);
const bytes = (text: string) => Uint8Array.from(text, (c) => c.charCodeAt(0));
const hardState = (term: number, commit = 0) => ({ term, votedFor: undefined, commit });

/** A leader of term 1 whose peers b and c have everything up to its empty entry. */
function replicatingLeader(options: Parameters<typeof createNode>[2] = {}) {
  const node = createNode('a', ABC, options);
  node.campaign();
  node.step(message(T.PRE_VOTE_RESPONSE, 'b', 'a', 1));
  drain(node);
  node.step(message(T.VOTE_RESPONSE, 'b', 'a', 1));
  drain(node);
  for (const peer of ['b', 'c']) node.step(message(T.APPEND_RESPONSE, peer, 'a', 1, { index: 1 }));
  drain(node);
  return node;
}

function progressOf(node: ReturnType<typeof createNode>, id: string) {
  const found = node.status().progress.find((p) => p.id === id);
  assert.ok(found);
  return found;
}

describe('log replication (Raft paper, 5.3)', () => {
  it('proposals are committed and applied everywhere in order', () => {
    const cluster = new TestCluster(['a', 'b', 'c']);
    const leader = cluster.elect('a');
    for (const text of ['x', 'y', 'z']) assert.equal(leader.propose(bytes(text)).ok, true);
    cluster.settle();
    assert.deepEqual(cluster.texts('a'), ['x', 'y', 'z']);
    cluster.tick(HEARTBEAT_TICKS);
    for (const id of ['b', 'c']) assert.deepEqual(cluster.texts(id), ['x', 'y', 'z']);
  });

  it('a commit mark has no message of its own: it goes with the next append, or the next heartbeat', () => {
    const cluster = new TestCluster(['a', 'b', 'c']);
    const leader = cluster.elect('a');
    cluster.tick(HEARTBEAT_TICKS);
    cluster.delivered.length = 0;
    leader.propose(bytes('x'));
    cluster.settle();
    const types = cluster.delivered.map((m) => m.type).sort();
    assert.deepEqual(types, [T.APPEND, T.APPEND, T.APPEND_RESPONSE, T.APPEND_RESPONSE].sort());
    assert.deepEqual(cluster.texts('b'), []);
    leader.propose(bytes('y'));
    cluster.settle();
    assert.deepEqual(cluster.texts('b'), ['x']);
    cluster.tick(HEARTBEAT_TICKS);
    assert.deepEqual(cluster.texts('b'), ['x', 'y']);
  });

  it('only a leader takes proposals', () => {
    assert.deepEqual(createNode('a', ABC).propose(bytes('x')), { ok: false, reason: 'not-leader' });
  });

  it('all proposals since the last Ready travel in one message', () => {
    const node = replicatingLeader();
    for (const text of ['x', 'y', 'z']) node.propose(bytes(text));
    const appends = drain(node).filter((m) => m.type === T.APPEND && m.to === 'b');
    assert.deepEqual(
      appends.map((m) => m.entries.length),
      [3],
    );
  });

  it('a message holds at most appendBytesMax, or one entry', () => {
    const node = replicatingLeader();
    for (let i = 0; i < 3; i++) node.propose(new Uint8Array(600));
    const appends = drain(node).filter((m) => m.type === T.APPEND && m.to === 'b');
    assert.deepEqual(
      appends.map((m) => m.entries.length),
      [1, 1, 1],
    );
  });

  it('the window is limited by messages and opens with acknowledgements', () => {
    const node = replicatingLeader();
    const sent = () => drain(node).filter((m) => m.type === T.APPEND && m.to === 'b').length;
    for (let i = 0; i < 6; i++) node.propose(new Uint8Array(900));
    assert.equal(sent(), 4);
    node.step(message(T.APPEND_RESPONSE, 'b', 'a', 1, { index: 3 }));
    assert.equal(sent(), 2);
  });

  it('the window is limited by bytes', () => {
    const node = replicatingLeader({ config: { inflightBytesMax: 1500 } });
    for (let i = 0; i < 4; i++) node.propose(new Uint8Array(900));
    assert.equal(drain(node).filter((m) => m.type === T.APPEND && m.to === 'b').length, 2);
  });

  it('a probing leader sends one message at a time, paced by heartbeats', () => {
    const node = replicatingLeader();
    node.reportUnreachable('b' as ServerId);
    const appends = () => drain(node).filter((m) => m.type === T.APPEND && m.to === 'b').length;
    node.propose(bytes('x'));
    assert.equal(appends(), 1);
    node.propose(bytes('y'));
    assert.equal(appends(), 0);
    node.step(message(T.HEARTBEAT_RESPONSE, 'b', 'a', 1, { context: 1 }));
    assert.equal(appends(), 1);
  });

  it('what a later leader replaces before it is stored is not acknowledged', () => {
    const node = createNode('a', ABC);
    const append = (from: string, term: number) =>
      message(T.APPEND, from, 'a', term, { index: 0, logTerm: 0, entries: [entry(1, term)] });
    node.step(append('b', 1));
    node.step(append('c', 2));
    const answers = drain(node).filter((m) => m.type === T.APPEND_RESPONSE);
    assert.deepEqual(
      answers.map(({ to, term, index }) => [to, term, index]),
      [['c', 2, 1]],
    );
    assert.equal(node.term(1), 2);
  });

  it('the hint of a refusal skips whole terms', () => {
    const mine = [entry(1, 1), entry(2, 1), ...[3, 4, 5, 6, 7, 8].map((i) => entry(i, 5))];
    const theirs = [entry(1, 1), entry(2, 1), ...[3, 4, 5, 6, 7, 8, 9].map((i) => entry(i, 3))];
    const cluster = new TestCluster([]);
    cluster.add('a', createNode('a', ABC, { initial: { hardState: hardState(5), entries: mine } }));
    cluster.add('b', createNode('b', ABC, { initial: { hardState: hardState(5), entries: theirs } }));
    for (const node of cluster.nodes.values()) for (let i = 0; i < ELECTION_TICKS; i++) node.tick();
    cluster.elect('a');
    const refusals = cluster.delivered.filter((m) => m.type === T.APPEND_RESPONSE && m.reject);
    assert.equal(refusals.length, 1);
    assert.equal(cluster.node('b').status().lastIndex, 9);
    assert.equal(cluster.node('b').term(9), 6);
  });

  it('lost appends are found out by a heartbeat', () => {
    const cluster = new TestCluster(['a', 'b', 'c']);
    const leader = cluster.elect('a');
    cluster.drop = (m) => m.type === T.APPEND && m.to === 'b';
    leader.propose(bytes('x'));
    cluster.settle();
    cluster.drop = () => false;
    assert.deepEqual(cluster.texts('b'), []);
    cluster.tick(3 * HEARTBEAT_TICKS);
    assert.deepEqual(cluster.texts('b'), ['x']);
  });

  it('a follower replaces a conflicting suffix and keeps a matching one', () => {
    const entries = [entry(1, 1), entry(2, 1), entry(3, 1)];
    const node = createNode('a', ABC, { initial: { hardState: hardState(1), entries } });
    const append = (term: number, index: number, logTerm: number, ...list: ReturnType<typeof entry>[]) => {
      node.step(message(T.APPEND, 'b', 'a', term, { index, logTerm, entries: list }));
      return drain(node)[0];
    };
    assert.equal(append(2, 1, 1, entry(2, 1))?.index, 2);
    assert.equal(node.status().lastIndex, 3, 'an old message does not shorten the log');
    assert.equal(append(2, 1, 1, entry(2, 2))?.index, 2);
    assert.equal(node.status().lastIndex, 2);
  });

  it('a follower persists entries in the Ready that holds the answer', () => {
    const node = createNode('a', ABC);
    node.step(message(T.APPEND, 'b', 'a', 1, { entries: [entry(1, 1, 'x')] }));
    const ready = node.ready();
    assert.deepEqual(ready.entries, [entry(1, 1, 'x')]);
    assert.equal(ready.mustSync, true);
    assert.deepEqual(
      ready.messages.map((m) => [m.type, m.index]),
      [[T.APPEND_RESPONSE, 1]],
    );
  });

  it('entries that are replaced while they are being persisted do not count as stored', () => {
    const node = createNode('a', ABC);
    node.step(message(T.APPEND, 'b', 'a', 1, { entries: [entry(1, 1), entry(2, 1)] }));
    const ready = node.ready();
    const others = [entry(1, 2, 'x'), entry(2, 2, 'y'), entry(3, 2, 'z')];
    node.step(message(T.APPEND, 'c', 'a', 2, { entries: others }));
    node.advance(ready);
    assert.deepEqual(node.ready().entries, others);
  });

  it('entries that are replaced after they were persisted are persisted again', () => {
    const node = createNode('a', ABC);
    node.step(message(T.APPEND, 'b', 'a', 1, { entries: [entry(1, 1), entry(2, 1)] }));
    drain(node);
    node.step(message(T.APPEND, 'c', 'a', 2, { index: 1, logTerm: 1, entries: [entry(2, 2), entry(3, 2)] }));
    assert.deepEqual(node.ready().entries, [entry(2, 2), entry(3, 2)]);
  });

  it('a committed entry is never replaced', () => {
    const initial = { hardState: hardState(1, 2), entries: [entry(1, 1), entry(2, 1)] };
    const node = createNode('a', ABC, { initial });
    node.step(message(T.APPEND, 'b', 'a', 2, { index: 1, logTerm: 1, entries: [entry(2, 2)] }));
    assert.equal(node.term(2), 1);
  });
});

describe('commitment (Raft paper, 5.4.2)', () => {
  it('the leader counts itself only once its entry is persisted', () => {
    const node = replicatingLeader();
    node.propose(bytes('x'));
    const ready = node.ready();
    assert.ok(
      ready.messages.some((m) => m.type === T.APPEND),
      'sent before it is persisted',
    );
    node.step(message(T.APPEND_RESPONSE, 'b', 'a', 1, { index: 2 }));
    assert.equal(node.status().commit, 1);
    node.advance(ready);
    assert.equal(node.status().commit, 2);
  });

  it('the leader does not count what was proposed while an earlier Ready was being persisted', () => {
    const node = replicatingLeader();
    node.propose(bytes('x'));
    const ready = node.ready();
    node.propose(bytes('y'));
    node.advance(ready);
    assert.equal(progressOf(node, 'a').match, 2);
  });

  it('a majority without the leader commits too', () => {
    const node = replicatingLeader();
    node.propose(bytes('x'));
    const ready = node.ready();
    node.step(message(T.APPEND_RESPONSE, 'b', 'a', 1, { index: 2 }));
    node.step(message(T.APPEND_RESPONSE, 'c', 'a', 1, { index: 2 }));
    assert.equal(node.status().commit, 2);
    node.advance(ready);
  });

  it('entries of earlier terms are not committed by counting (figure 8)', () => {
    const initial = { hardState: hardState(2), entries: [entry(1, 1), entry(2, 2)] };
    const node = createNode('a', ABC, { initial });
    node.campaign();
    node.step(message(T.PRE_VOTE_RESPONSE, 'b', 'a', 3));
    drain(node);
    node.step(message(T.VOTE_RESPONSE, 'b', 'a', 3));
    drain(node);
    node.step(message(T.APPEND_RESPONSE, 'b', 'a', 3, { index: 2 }));
    assert.equal(node.status().commit, 0);
    node.step(message(T.APPEND_RESPONSE, 'b', 'a', 3, { index: 3 }));
    assert.equal(node.status().commit, 3);
  });

  it('a follower commits no further than what the message proves', () => {
    const initial = { hardState: hardState(1), entries: [entry(1, 1), entry(2, 1)] };
    const node = createNode('a', ABC, { initial });
    node.step(message(T.APPEND, 'b', 'a', 2, { index: 1, logTerm: 1, commit: 2 }));
    assert.equal(node.status().commit, 1);
  });

  it('a lost commit mark is not synced for, a lost entry is', () => {
    const node = replicatingLeader();
    node.propose(bytes('x'));
    drain(node);
    node.step(message(T.APPEND_RESPONSE, 'b', 'a', 1, { index: 2 }));
    const ready = node.ready();
    assert.equal(ready.hardState?.commit, 2);
    assert.equal(ready.mustSync, false);
  });
});

describe('limits', () => {
  it('too many uncommitted bytes are refused until some are committed', () => {
    const node = replicatingLeader({ config: { uncommittedBytesMax: 1000 } });
    assert.equal(node.propose(new Uint8Array(900)).ok, true);
    assert.deepEqual(node.propose(new Uint8Array(900)), { ok: false, reason: 'overloaded' });
    drain(node);
    node.step(message(T.APPEND_RESPONSE, 'b', 'a', 1, { index: 2 }));
    assert.equal(node.propose(new Uint8Array(900)).ok, true);
  });

  it('one proposal above the limit is let through', () => {
    assert.equal(
      replicatingLeader({ config: { uncommittedBytesMax: 10 } }).propose(new Uint8Array(900)).ok,
      true,
    );
  });

  it('a Ready holds at most appendBytesMax of committed entries', () => {
    const entries = Array.from({ length: 10 }, (_, i) => entry(i + 1, 1, 'x'.repeat(400)));
    const node = createNode('a', ABC, { initial: { hardState: hardState(1, 10), entries } });
    const sizes: number[] = [];
    while (node.hasReady()) {
      const ready = node.ready();
      sizes.push(ready.committedEntries.length);
      node.advance(ready);
    }
    assert.deepEqual(sizes, [2, 2, 2, 2, 2]);
  });
});

describe('snapshots (thesis, 5)', () => {
  it('a follower behind the first index gets a snapshot and goes on from there', () => {
    const cluster = new TestCluster(['a', 'b', 'c']);
    const leader = cluster.elect('a');
    cluster.isolate('c');
    for (let i = 0; i < 20; i++) leader.propose(bytes(`${i}`));
    cluster.settle();
    leader.compact(15);
    assert.equal(leader.status().firstIndex, 16);
    cluster.drop = () => false;
    cluster.tick(3 * HEARTBEAT_TICKS);
    assert.equal(cluster.delivered.filter((m) => m.type === T.SNAPSHOT).length, 1);
    assert.equal(cluster.node('c').status().commit, leader.status().commit);
    assert.equal(cluster.node('c').status().firstIndex, leader.status().commit + 1);
    leader.propose(bytes('after'));
    cluster.settle();
    cluster.tick(HEARTBEAT_TICKS);
    assert.deepEqual(cluster.texts('c').at(-1), 'after');
  });

  it('nothing is sent while a snapshot is under way; a failed one is tried again at a heartbeat', () => {
    const node = replicatingLeader();
    for (let i = 0; i < 5; i++) node.propose(bytes('x'));
    drain(node);
    node.step(message(T.APPEND_RESPONSE, 'b', 'a', 1, { index: 6 }));
    drain(node);
    node.compact(6);
    node.reportUnreachable('c' as ServerId);
    const toC = () =>
      drain(node)
        .filter((m) => m.to === 'c')
        .map((m) => m.type);
    node.step(message(T.HEARTBEAT_RESPONSE, 'c', 'a', 1, { context: 1 }));
    assert.deepEqual(toC(), [T.SNAPSHOT]);
    assert.equal(progressOf(node, 'c').state, 'snapshot');
    node.propose(bytes('y'));
    assert.deepEqual(toC(), []);
    node.reportSnapshot('c' as ServerId, false);
    assert.deepEqual(toC(), []);
    node.step(message(T.HEARTBEAT_RESPONSE, 'c', 'a', 1, { context: 1 }));
    assert.deepEqual(toC(), [T.SNAPSHOT]);
    node.reportSnapshot('c' as ServerId, true);
    assert.equal(progressOf(node, 'c').next, 7);
  });

  it('a stale snapshot is refused, and one of a prefix of the log only commits it', () => {
    const initial = { hardState: hardState(1, 1), entries: [entry(1, 1), entry(2, 1), entry(3, 1)] };
    const node = createNode('a', ABC, { initial });
    assert.equal(node.wantsSnapshot({ index: 1, term: 1, confState: ABC }), false);
    assert.equal(node.restoreSnapshot({ index: 2, term: 1, confState: ABC }), false);
    assert.equal(node.status().commit, 2);
    assert.equal(node.status().lastIndex, 3);
    assert.equal(node.restoreSnapshot({ index: 3, term: 2, confState: confState(['a', 'z']) }), true);
    assert.equal(node.status().firstIndex, 4);
    assert.deepEqual(node.status().confState.voters, ['a', 'z']);
  });

  it('a restart goes on with entries that were committed and not applied', () => {
    const node = createNode('a', ABC, {
      initial: {
        hardState: hardState(2, 12),
        snapshot: { index: 10, term: 2, confState: ABC },
        entries: [entry(11, 2, 'x'), entry(12, 2, 'y'), entry(13, 2, 'z')],
        applied: 11,
      },
    });
    assert.deepEqual(node.ready().committedEntries, [entry(12, 2, 'y')]);
  });
});
