import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ServerId } from '../../../../src/base/ids.ts';
import {
  type ConfChange,
  type ConfChangeKind,
  type ConfChangeStep,
  changedConfState,
  decodeConfChange,
  encodeConfChange,
  LEAVE_JOINT,
  NO_MEMBERS,
} from '../../../../src/core/raft/conf-change.ts';
import { EntryType, RaftMessageType as T } from '../../../../src/gen/ringfs/v1/raft.ts';
import {
  confState,
  createNode,
  drain,
  ELECTION_TICKS,
  entry,
  HEARTBEAT_TICKS,
  message,
  TestCluster,
  turn,
} from '../../../support/raft-cluster.ts';

const step = (kind: ConfChangeKind, id: string, address = ''): ConfChangeStep => ({
  kind,
  id: id as ServerId,
  address,
});
const change = (...steps: ConfChangeStep[]): ConfChange => ({ transition: 'auto', steps });
const bytes = (text: string) => Uint8Array.from(text, (c) => c.charCodeAt(0));
const EMPTY = confState([]);

describe('configuration change codec', () => {
  it('decodes what it encodes', () => {
    const changes: ConfChange[] = [
      LEAVE_JOINT,
      change(step('add-voter', 's4', 'host-4.example:7000')),
      { transition: 'joint-explicit', steps: [step('remove', 's1'), step('promote', 's9', '[::1]:1')] },
      { transition: 'joint-auto-leave', steps: [step('add-learner', 'x'.repeat(255))] },
    ];
    for (const each of changes) assert.deepEqual(decodeConfChange(encodeConfChange(each)), each);
  });

  it('anything else is undefined: cut off, longer, unknown', () => {
    const good = encodeConfChange(change(step('add-voter', 's4', 'h:1'), step('remove', 's1')));
    for (let length = 0; length < good.length; length++) {
      assert.equal(decodeConfChange(good.subarray(0, length)), undefined);
    }
    assert.equal(decodeConfChange(Uint8Array.from([...good, 0])), undefined);
    for (const at of [0, 1, 3]) assert.equal(decodeConfChange(good.with(at, 99)), undefined);
  });
});

describe('configuration change rules (thesis, 4)', () => {
  const abc = confState(['a', 'b', 'c'], ['l']);

  it('a change of one voter is simple', () => {
    const to = (...steps: ConfChangeStep[]) => changedConfState(abc, change(...steps));
    assert.deepEqual(to(step('add-voter', 'd')), confState(['a', 'b', 'c', 'd'], ['l']));
    assert.deepEqual(to(step('remove', 'c')), confState(['a', 'b'], ['l']));
    assert.deepEqual(to(step('promote', 'l')), confState(['a', 'b', 'c', 'l']));
    assert.deepEqual(to(step('add-learner', 'c')), confState(['a', 'b'], ['c', 'l']));
    assert.deepEqual(to(step('remove', 'l')), confState(['a', 'b', 'c']));
  });

  it('a change of more voters is joint, and a demoted voter learns only afterwards', () => {
    const joint = changedConfState(abc, change(step('add-voter', 'd'), step('add-learner', 'a')));
    assert.deepEqual(joint, {
      ...NO_MEMBERS,
      voters: ['b', 'c', 'd'],
      learners: ['l'],
      votersOutgoing: ['a', 'b', 'c'],
      learnersNext: ['a'],
      autoLeave: true,
    });
    assert.deepEqual(changedConfState(joint!, LEAVE_JOINT), confState(['b', 'c', 'd'], ['a', 'l']));
    assert.equal(changedConfState(joint!, change(step('add-voter', 'e'))), undefined);
  });

  it('who joins learns first and is to be promoted; addresses stay as long as somebody may be called there', () => {
    const at = (kind: ConfChangeStep['kind'], id: string, address: string): ConfChangeStep => ({
      ...step(kind, id),
      address,
    });
    const joined = changedConfState(abc, change(at('join', 'd', 'd:1')))!;
    assert.deepEqual(joined, {
      ...confState(['a', 'b', 'c'], ['d', 'l']),
      addresses: [{ id: 'd', address: 'd:1' }],
      promotable: ['d'],
    });
    assert.equal(
      changedConfState(joined, change(at('join', 'a', 'a:1'))),
      undefined,
      'a voter does not join',
    );
    const promoted = changedConfState(joined, change(step('promote', 'd')))!;
    assert.deepEqual(promoted, {
      ...confState(['a', 'b', 'c', 'd'], ['l']),
      addresses: [{ id: 'd', address: 'd:1' }],
    });
    assert.deepEqual(changedConfState(promoted, change(step('remove', 'd'))), abc);
    const joint = changedConfState(promoted, change(step('remove', 'd'), step('add-voter', 'e')))!;
    assert.deepEqual(joint.addresses, [{ id: 'd', address: 'd:1' }], 'd still votes in the outgoing half');
    assert.deepEqual(changedConfState(joint, LEAVE_JOINT)!.addresses, []);
  });

  it('what makes no sense is not allowed', () => {
    const refused = (...steps: ConfChangeStep[]) =>
      assert.equal(changedConfState(abc, change(...steps)), undefined);
    refused();
    refused(step('promote', 'a'));
    refused(step('promote', 'z'));
    refused(step('add-voter', 'd'), step('remove', 'd'));
    refused(step('remove', 'a'), step('remove', 'b'), step('remove', 'c'));
  });
});

describe('membership changes', () => {
  it('a new server joins with a snapshot, learns, and is promoted', () => {
    const cluster = new TestCluster(['a', 'b', 'c']);
    cluster.elect('a').propose(bytes('x'));
    cluster.add('d', createNode('d', EMPTY));
    assert.equal(cluster.changeMembers('a', change(step('add-learner', 'd'))).ok, true);
    cluster.tick(3 * HEARTBEAT_TICKS);
    // An empty log without a configuration does not replay the changes since the beginning.
    assert.equal(cluster.delivered.filter((m) => m.type === T.SNAPSHOT).length, 1);
    assert.deepEqual(cluster.node('d').status().confState, confState(['a', 'b', 'c'], ['d']));
    assert.equal(cluster.changeMembers('a', change(step('promote', 'd'))).ok, true);
    assert.deepEqual(cluster.node('d').status().confState, confState(['a', 'b', 'c', 'd']));
    cluster.drop = (m) => m.from === 'c' || m.to === 'c' || m.from === 'd' || m.to === 'd';
    cluster.node('a').propose(bytes('y'));
    cluster.settle();
    assert.deepEqual(cluster.texts('a'), ['x'], 'two of four are no majority');
  });

  it('learners do not count for a majority', () => {
    const cluster = new TestCluster(['a', 'b', 'c'], confState(['a', 'b'], ['c']));
    const leader = cluster.elect('a');
    cluster.isolate('b');
    leader.propose(bytes('x'));
    cluster.settle();
    assert.deepEqual(cluster.texts('a'), []);
    cluster.isolate('c');
    cluster.tick(3 * HEARTBEAT_TICKS);
    assert.deepEqual(cluster.texts('a'), ['x']);
  });

  it('one change at a time: a second one waits until the first is applied', () => {
    const cluster = new TestCluster(['a', 'b', 'c']);
    const leader = cluster.elect('a');
    const data = encodeConfChange(change(step('add-learner', 'd')));
    assert.equal(leader.proposeConfChange(data).ok, true);
    assert.deepEqual(leader.proposeConfChange(data), { ok: false, reason: 'conf-change-pending' });
    cluster.settle();
    assert.equal(leader.proposeConfChange(data).ok, true);
  });

  it('a new leader takes no change before it applied what it found in its log', () => {
    const inherited = {
      ...entry(1, 1),
      type: EntryType.CONF_CHANGE,
      data: encodeConfChange(change(step('remove', 'c'))),
    };
    const hardState = { term: 1, votedFor: undefined, commit: 0 };
    const node = createNode('a', confState(['a', 'b', 'c']), {
      initial: { hardState, entries: [inherited] },
    });
    node.campaign();
    node.step(message(T.PRE_VOTE_RESPONSE, 'b', 'a', 2));
    turn(node);
    node.step(message(T.VOTE_RESPONSE, 'b', 'a', 2));
    drain(node);
    assert.equal(node.status().role, 'leader');
    const data = encodeConfChange(change(step('add-learner', 'd')));
    assert.deepEqual(node.proposeConfChange(data), { ok: false, reason: 'conf-change-pending' });
    node.step(message(T.APPEND_RESPONSE, 'b', 'a', 2, { index: 2 }));
    drain(node);
    assert.deepEqual(node.status().confState, confState(['a', 'b']));
    assert.equal(node.proposeConfChange(data).ok, true);
  });

  it('nonsense is refused, and changes nothing when it is applied nevertheless', () => {
    const cluster = new TestCluster(['a', 'b', 'c']);
    const leader = cluster.elect('a');
    const refusal = { ok: false, reason: 'conf-change-invalid' };
    assert.deepEqual(leader.proposeConfChange(Uint8Array.of(1, 2, 3)), refusal);
    assert.deepEqual(cluster.changeMembers('a', LEAVE_JOINT), refusal);
    assert.deepEqual(leader.applyConfChange(Uint8Array.of(9)), confState(['a', 'b', 'c']));
  });

  it('a joint configuration needs both majorities and is left by itself', () => {
    const cluster = new TestCluster(['a', 'b', 'c']);
    for (const id of ['d', 'e']) cluster.add(id, createNode(id, EMPTY));
    const leader = cluster.elect('a');
    cluster.drop = (m) => m.to === 'd' || m.to === 'e';
    const swap = change(
      step('add-voter', 'd'),
      step('add-voter', 'e'),
      step('remove', 'b'),
      step('remove', 'c'),
    );
    assert.equal(cluster.changeMembers('a', swap).ok, true);
    assert.deepEqual(leader.status().confState.votersOutgoing, ['a', 'b', 'c']);
    leader.propose(bytes('x'));
    cluster.settle();
    assert.deepEqual(cluster.texts('a'), [], 'a, b and c are not enough');
    cluster.drop = () => false;
    cluster.tick(4 * HEARTBEAT_TICKS);
    assert.deepEqual(cluster.texts('a'), ['x']);
    assert.deepEqual(leader.status().confState, confState(['a', 'd', 'e']));
    assert.deepEqual(cluster.node('e').status().confState, confState(['a', 'd', 'e']));
  });

  it('an explicit joint configuration stays until it is told to end', () => {
    const cluster = new TestCluster(['a', 'b', 'c']);
    cluster.elect('a');
    cluster.changeMembers('a', { transition: 'joint-explicit', steps: [step('remove', 'c')] });
    cluster.tick(20);
    assert.deepEqual(cluster.node('a').status().confState.votersOutgoing, ['a', 'b', 'c']);
    cluster.changeMembers('a', LEAVE_JOINT);
    assert.deepEqual(cluster.node('a').status().confState, confState(['a', 'b']));
  });

  it('a leader that removes itself steps down once that is committed', () => {
    const cluster = new TestCluster(['a', 'b', 'c']);
    cluster.elect('a');
    cluster.changeMembers('a', change(step('remove', 'a')));
    assert.equal(cluster.node('a').status().role, 'follower');
    assert.deepEqual(cluster.node('b').status().confState, confState(['b', 'c']), 'it told the others first');
    cluster.tick(4 * ELECTION_TICKS);
    const leaders = ['a', 'b', 'c'].filter((id) => cluster.node(id).status().role === 'leader');
    assert.equal(leaders.length, 1);
    assert.notEqual(leaders[0], 'a');
  });

  it('a candidate that has not heard of a removal learns of it from the refusals', () => {
    // a, which is removed, has the longer log and never campaigns; b alone is the configuration, without knowing.
    const cluster = new TestCluster(['a', 'b'], confState(['a', 'b']), { config: { appendBytesMax: 1 } });
    const leader = cluster.elect('a');
    cluster.drop = (m) => m.to === 'b' && (m.commit > 1 || m.entries.some((each) => each.index > 2));
    leader.proposeConfChange(encodeConfChange(change(step('remove', 'a'))));
    leader.propose(bytes('x'));
    cluster.settle();
    assert.deepEqual([leader.status().lastIndex, cluster.node('b').status().lastIndex], [3, 2]);
    assert.deepEqual(leader.status().confState, confState(['b']));
    assert.deepEqual(cluster.node('b').status().confState, confState(['a', 'b']));
    cluster.drop = () => false;
    cluster.tick(6 * ELECTION_TICKS);
    assert.equal(cluster.node('b').status().role, 'leader');
  });

  it('removing a dead server lets the rest commit', () => {
    const cluster = new TestCluster(['a', 'b']);
    const leader = cluster.elect('a');
    cluster.changeMembers('a', change(step('add-learner', 'z')));
    leader.propose(bytes('x'));
    cluster.settle();
    cluster.tick(HEARTBEAT_TICKS);
    assert.deepEqual(cluster.texts('b'), ['x']);
    cluster.changeMembers('a', change(step('remove', 'z')));
    assert.deepEqual(
      leader.status().progress.map((p) => p.id),
      ['a', 'b'],
    );
  });
});
