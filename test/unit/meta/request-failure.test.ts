import assert from 'node:assert/strict';
import { it } from 'node:test';
import { ReplicaStoppedError } from '../../../src/meta/raft/errors.ts';
import { requestFailure } from '../../../src/meta/request-failure.ts';
import { MemoryReplica } from '../../support/memory-replica.ts';
import { NamespaceMachine } from '../../support/namespace-machine.ts';

it('a server that has just been started, or stops, sends clients elsewhere without a word in its log', () => {
  const replica = new MemoryReplica('s1', new NamespaceMachine());
  const { reply, level } = requestFailure(new ReplicaStoppedError(), replica);
  assert.deepEqual([reply.$case, level], ['notLeader', 'debug']);
  assert.equal(requestFailure(new Error('a fault'), replica).level, 'error');
});
