import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ServerId } from '../../../../src/base/ids.ts';
import { RAFT_STRANGER_TICKS_MAX, RAFT_STRANGERS_MAX } from '../../../../src/base/limits.ts';
import { Members } from '../../../../src/meta/raft/members.ts';
import type { RaftTransport } from '../../../../src/ports/raft-transport.ts';
import { confState } from '../../../support/raft-cluster.ts';

const id = (name: string): ServerId => name as ServerId;

function fixture() {
  const peers = new Map<string, string>();
  const transport: RaftTransport = {
    send: () => undefined,
    setPeer: (peer, address) => void peers.set(peer, address),
    removePeer: (peer) => void peers.delete(peer),
    sendSnapshot: async () => undefined,
    close: async () => undefined,
  };
  const members = new Members(id('s1'), transport, [
    { id: id('s1'), address: 'h1:1' },
    { id: id('s2'), address: 'h2:1' },
  ]);
  members.update(confState(['s1', 's2']));
  return { members, peers };
}

describe('the members that a replica knows', () => {
  it('a stranger is answered as long as it is heard', () => {
    const { members, peers } = fixture();
    members.meet(id('s4'), 'h4:1');
    assert.deepEqual(
      [...peers],
      [
        ['s2', 'h2:1'],
        ['s4', 'h4:1'],
      ],
    );
    for (let tick = 0; tick < RAFT_STRANGER_TICKS_MAX; tick++) members.tick();
    members.meet(id('s4'), 'h4:1');
    for (let tick = 0; tick < RAFT_STRANGER_TICKS_MAX; tick++) members.tick();
    assert.ok(peers.has('s4'));
    members.tick();
    assert.deepEqual([...peers.keys()], ['s2']);
    members.meet(id('s4'), 'h4:1');
    assert.ok(peers.has('s4'), 'it is heard again');
  });

  it('a stranger that turns out to be a member stays, one that was removed goes', () => {
    const { members, peers } = fixture();
    members.meet(id('s2'), 'elsewhere:1');
    assert.equal(peers.get('s2'), 'h2:1');
    members.meet(id('s3'), 'h3:1');
    const state = confState(['s1', 's2', 's3']);
    members.update({ ...state, addresses: [{ id: 's3', address: 'h3:1' }] });
    for (let tick = 0; tick < 2 * RAFT_STRANGER_TICKS_MAX; tick++) members.tick();
    assert.deepEqual([...peers.keys()], ['s2', 's3']);
    members.update(confState(['s1', 's2']));
    assert.deepEqual([...peers.keys()], ['s2']);
  });

  it('there are only so many strangers', () => {
    const { members, peers } = fixture();
    for (let n = 0; n < 2 * RAFT_STRANGERS_MAX; n++) members.meet(id(`x${n}`), `x${n}:1`);
    assert.equal(peers.size, 1 + RAFT_STRANGERS_MAX);
    members.meet(id('s1'), 'h1:1');
    members.meet(id('s5'), '');
    assert.ok(!peers.has('s1') && !peers.has('s5'));
  });
});
