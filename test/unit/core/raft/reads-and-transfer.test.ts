import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ServerId } from '../../../../src/base/ids.ts';
import { RaftMessageType as T } from '../../../../src/gen/ringfs/v1/raft.ts';
import {
  confState,
  createNode,
  drain,
  ELECTION_TICKS,
  HEARTBEAT_TICKS,
  message,
  TestCluster,
} from '../../../support/raft-cluster.ts';

const bytes = (text: string) => Uint8Array.from(text, (c) => c.charCodeAt(0));

describe('linearizable reads (thesis, 6.4)', () => {
  it('the leader answers after a heartbeat round with its commit mark', () => {
    const cluster = new TestCluster(['a', 'b', 'c']);
    const leader = cluster.elect('a');
    leader.propose(bytes('x'));
    cluster.settle();
    cluster.drop = (m) => m.type === T.HEARTBEAT;
    leader.readIndex(7);
    cluster.settle();
    assert.equal(cluster.reads.get('a')!.has(7), false);
    cluster.drop = () => false;
    cluster.tick(HEARTBEAT_TICKS);
    assert.equal(cluster.reads.get('a')!.get(7), 2);
  });

  it('an answer to an earlier round does not confirm a later read', () => {
    const cluster = new TestCluster(['a', 'b', 'c']);
    const leader = cluster.elect('a');
    leader.readIndex(1);
    drain(leader);
    leader.step(message(T.HEARTBEAT_RESPONSE, 'b', 'a', 1, { context: 1 }));
    assert.deepEqual(leader.hasReady() ? leader.ready().readStates : [], []);
  });

  it('all reads since the last Ready share a round', () => {
    const cluster = new TestCluster(['a', 'b', 'c']);
    const leader = cluster.elect('a');
    for (let context = 1; context <= 50; context++) leader.readIndex(context);
    assert.equal(leader.ready().messages.filter((m) => m.type === T.HEARTBEAT).length, 2);
  });

  it('followers forward; equal contexts of different nodes do not collide', () => {
    const cluster = new TestCluster(['a', 'b', 'c']);
    cluster.elect('a');
    for (const id of ['a', 'b', 'c']) cluster.node(id).readIndex(1);
    cluster.settle();
    for (const id of ['a', 'b', 'c']) assert.equal(cluster.reads.get(id)!.get(1), 1);
    const contexts = cluster.delivered.filter((m) => m.type === T.READ_INDEX).map((m) => m.context);
    assert.equal(new Set(contexts).size, 2);
  });

  it('an answer to a previous life of the follower answers nothing', () => {
    const first = createNode('b', confState(['a', 'b']));
    const second = createNode('b', confState(['a', 'b']), {
      config: { random: { next: () => 0.25, below: () => 0, bytes: (n) => new Uint8Array(n) } },
    });
    const forward = (node: typeof first): number => {
      node.step(message(T.HEARTBEAT, 'a', 'b', 1, { context: 1 }));
      node.readIndex(1);
      return drain(node).find((m) => m.type === T.READ_INDEX)!.context;
    };
    const stale = forward(first);
    assert.notEqual(stale, forward(second));
    second.step(message(T.READ_INDEX_RESPONSE, 'a', 'b', 1, { context: stale, index: 3 }));
    assert.equal(second.hasReady(), false);
  });

  it('the leader refuses until it has committed in its term', () => {
    const cluster = new TestCluster(['a', 'b', 'c']);
    cluster.drop = (m) => m.type === T.APPEND_RESPONSE;
    cluster.elect('a');
    cluster.node('a').readIndex(1);
    cluster.node('b').readIndex(2);
    cluster.settle();
    assert.deepEqual([...cluster.reads.get('a')!], [[1, undefined]]);
    assert.deepEqual([...cluster.reads.get('b')!], [[2, undefined]]);
  });

  it('without a leader, and when the leader changes, the caller is told to try again', () => {
    const node = createNode('a', confState(['a', 'b', 'c']));
    node.readIndex(1);
    assert.deepEqual(node.ready().readStates, [{ context: 1, index: undefined }]);
    const cluster = new TestCluster(['a', 'b', 'c']);
    cluster.elect('a');
    cluster.isolate('b');
    cluster.node('b').readIndex(2);
    cluster.settle();
    cluster.tick(ELECTION_TICKS + 1);
    assert.equal(cluster.reads.get('b')!.has(2), true);
    assert.equal(cluster.reads.get('b')!.get(2), undefined);
  });

  it('a single voter answers at once', () => {
    const cluster = new TestCluster(['a']);
    cluster.elect('a').readIndex(5);
    cluster.settle();
    assert.equal(cluster.reads.get('a')!.get(5), 1);
  });
});

describe('lease (thesis, 6.4.1)', () => {
  it('holds while a quorum answers and ends well before a voter may vote again', () => {
    const cluster = new TestCluster(['a', 'b', 'c']);
    const leader = cluster.elect('a');
    cluster.tick(20);
    assert.equal(leader.leaseValid(), true);
    cluster.isolate('a');
    cluster.tick(2);
    assert.equal(leader.leaseValid(), true);
    cluster.tick(ELECTION_TICKS - 3);
    assert.equal(leader.leaseValid(), false);
  });

  it('counts from the sending of the heartbeat, not from the receipt of its answer', () => {
    const cluster = new TestCluster(['a', 'b', 'c']);
    const leader = cluster.elect('a');
    cluster.isolate('a');
    cluster.tick(ELECTION_TICKS - 2);
    assert.equal(leader.leaseValid(), false);
    // The answer to the first round arrives after all; the round is as old as ever.
    leader.step(message(T.HEARTBEAT_RESPONSE, 'b', 'a', 1, { context: 1 }));
    assert.equal(leader.leaseValid(), false);
  });

  it('is void before the first commit of the term', () => {
    const cluster = new TestCluster(['a', 'b', 'c']);
    cluster.drop = (m) => m.type === T.APPEND_RESPONSE;
    const leader = cluster.elect('a');
    cluster.tick(HEARTBEAT_TICKS);
    assert.equal(leader.leaseValid(), false);
    cluster.drop = () => false;
    cluster.tick(3 * HEARTBEAT_TICKS);
    assert.equal(leader.leaseValid(), true);
  });

  it('is void from a summons on, until the target answers a later round', () => {
    const cluster = new TestCluster(['a', 'b', 'c']);
    const leader = cluster.elect('a');
    cluster.tick(HEARTBEAT_TICKS);
    cluster.drop = (m) => m.type === T.TIMEOUT_NOW;
    leader.transferLeadership('b' as ServerId);
    cluster.tick(1);
    assert.equal(leader.leaseValid(), false);
    cluster.tick(ELECTION_TICKS);
    assert.equal(leader.propose(bytes('x')).ok, true, 'abandoned');
    cluster.tick(HEARTBEAT_TICKS);
    assert.equal(leader.leaseValid(), true);
  });
});

describe('leadership transfer (thesis, 3.10)', () => {
  it('goes to an up-to-date target at once, in spite of the lease', () => {
    const cluster = new TestCluster(['a', 'b', 'c']);
    cluster.elect('a').transferLeadership('b' as ServerId);
    cluster.settle();
    assert.equal(cluster.node('b').status().role, 'leader');
    assert.equal(cluster.node('a').status().leader, 'b');
  });

  it('brings the target up to date first', () => {
    const cluster = new TestCluster(['a', 'b', 'c']);
    const leader = cluster.elect('a');
    cluster.isolate('b');
    leader.propose(bytes('x'));
    cluster.settle();
    cluster.drop = () => false;
    leader.transferLeadership('b' as ServerId);
    cluster.tick(4 * HEARTBEAT_TICKS);
    assert.equal(cluster.node('b').status().role, 'leader');
    assert.deepEqual(cluster.texts('b'), ['x']);
  });

  it('refuses proposals meanwhile and is abandoned after an election timeout', () => {
    const cluster = new TestCluster(['a', 'b', 'c']);
    const leader = cluster.elect('a');
    cluster.isolate('b');
    leader.transferLeadership('b' as ServerId);
    assert.deepEqual(leader.propose(bytes('x')), { ok: false, reason: 'transferring' });
    cluster.tick(ELECTION_TICKS - 1);
    assert.equal(leader.propose(bytes('x')).ok, false);
    cluster.tick();
    assert.equal(leader.propose(bytes('x')).ok, true);
  });

  it('a summons that arrives after the leader went on is not obeyed', () => {
    const node = createNode('b', confState(['a', 'b', 'c']));
    node.step(message(T.HEARTBEAT, 'a', 'b', 1, { context: 9 }));
    node.step(message(T.TIMEOUT_NOW, 'a', 'b', 1, { context: 8 }));
    assert.equal(node.status().role, 'follower');
    node.step(message(T.TIMEOUT_NOW, 'a', 'b', 1, { context: 9 }));
    assert.equal(node.status().role, 'candidate');
    assert.ok(
      drain(node)
        .filter((m) => m.type === T.VOTE)
        .every((m) => m.force),
    );
  });

  it('a learner, a stranger and the leader itself are no targets', () => {
    const cluster = new TestCluster(['a', 'b', 'c'], confState(['a', 'b'], ['c']));
    const leader = cluster.elect('a');
    for (const id of ['c', 'z', 'a']) {
      leader.transferLeadership(id as ServerId);
      assert.equal(leader.propose(bytes('x')).ok, true);
    }
  });
});
