import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ServerId } from '../../../../src/base/ids.ts';
import { PROMOTE_INTERVAL_TICKS, PROMOTE_LAG_ENTRIES_MAX } from '../../../../src/base/limits.ts';
import { type ConfChange, decodeConfChange } from '../../../../src/core/raft/conf-change.ts';
import type {
  PeerProgress,
  ProposeConfChangeResult,
  RaftCoreStatus,
} from '../../../../src/core/raft/types.ts';
import { RaftMessageType } from '../../../../src/gen/ringfs/v1/raft.ts';
import {
  type MemberChange,
  MemberChangeLaterError,
  MemberChangeRefusedError,
  Membership,
} from '../../../../src/meta/raft/membership.ts';
import type { RaftReplica } from '../../../../src/meta/raft/raft-replica.ts';
import { MemoryMetaStorage } from '../../../support/memory-meta-storage.ts';
import { confState, message } from '../../../support/raft-cluster.ts';
import { RecordingLogger } from '../../../support/recording-logger.ts';
import { CLUSTER_ID, ReplicaCluster } from '../../../support/replica-cluster.ts';

const peer = (id: string, change: Partial<PeerProgress> = {}): PeerProgress => ({
  id: id as ServerId,
  match: 1000,
  next: 1001,
  state: 'replicate',
  recentActive: true,
  learner: false,
  ...change,
});

/** A leader s1 that records what it is asked. */
class FakeCore {
  readonly changes: ConfChange[] = [];
  readonly transfers: string[] = [];
  answer: ProposeConfChangeResult = { ok: true, index: 7, term: 3 };
  state: RaftCoreStatus = {
    id: 's1' as ServerId,
    role: 'leader',
    term: 3,
    leader: 's1' as ServerId,
    commit: 1000,
    applied: 1000,
    firstIndex: 1,
    lastIndex: 1000,
    confState: {
      ...confState(['s1', 's2', 's3'], ['l1']),
      addresses: [{ id: 's2', address: 'h2:1' }],
    },
    progress: [peer('s1'), peer('s2'), peer('s3'), peer('l1', { learner: true })],
  };

  status(): RaftCoreStatus {
    return this.state;
  }
  proposeConfChange(data: Uint8Array): ProposeConfChangeResult {
    this.changes.push(decodeConfChange(data)!);
    return this.answer;
  }
  transferLeadership(to: ServerId): void {
    this.transfers.push(to);
  }
  set(id: string, change: Partial<PeerProgress>): void {
    const progress = this.state.progress.map((p) => (p.id === id ? { ...p, ...change } : p));
    this.state = { ...this.state, progress };
  }
}

const add = (id: string, address: string, learner = false): MemberChange => ({
  $case: 'add',
  value: { id, address, learner },
});
const remove = (id: string, force = false): MemberChange => ({ $case: 'remove', value: { id, force } });

describe('an operator’s change of members', () => {
  const start = (change: MemberChange, prepare: (core: FakeCore) => void = () => {}): FakeCore => {
    const core = new FakeCore();
    prepare(core);
    new Membership(core, new RecordingLogger()).start(change);
    return core;
  };
  const refused = (pattern: RegExp, ...args: Parameters<typeof start>): void =>
    assert.throws(
      () => start(...args),
      (error) => error instanceof MemberChangeRefusedError && pattern.test(error.message),
    );
  const later = (pattern: RegExp, ...args: Parameters<typeof start>): void =>
    assert.throws(
      () => start(...args),
      (error) => error instanceof MemberChangeLaterError && pattern.test(error.message),
    );
  const steps = (core: FakeCore) => core.changes.flatMap((c) => c.steps);

  it('adds, as a learner or on the way to a voter', () => {
    assert.deepEqual(steps(start(add('s4', 'h4:1'))), [{ kind: 'join', id: 's4', address: 'h4:1' }]);
    assert.deepEqual(steps(start(add('s4', 'h4:1', true))), [
      { kind: 'add-learner', id: 's4', address: 'h4:1' },
    ]);
    refused(/s2 is a member already/, add('s2', 'h2:1'));
    refused(/h2:1 is the address of member s2/, add('s4', 'h2:1'));
  });

  it('promotes who has caught up', () => {
    const promote: MemberChange = { $case: 'promote', value: 'l1' };
    assert.deepEqual(steps(start(promote)), [{ kind: 'promote', id: 'l1', address: '' }]);
    later(/does not answer/, promote, (core) => core.set('l1', { recentActive: false }));
    later(/900 entries behind/, promote, (core) => core.set('l1', { match: 100 }));
    refused(/not a member/, { $case: 'promote', value: 's9' });
    refused(/a voter already/, { $case: 'promote', value: 's2' });
  });

  it('removes nobody whom the others need', () => {
    const s2Down = (core: FakeCore): void => core.set('s2', { recentActive: false });
    assert.deepEqual(steps(start(remove('s3'))), [{ kind: 'remove', id: 's3', address: '' }]);
    assert.equal(start(remove('s2'), s2Down).changes.length, 1, 'the one that is down');
    refused(/only 1 of 2 voters answer/, remove('s3'), s2Down);
    assert.equal(start(remove('s3', true), s2Down).changes.length, 1, 'forced');
    assert.equal(start(remove('l1'), s2Down).changes.length, 1, 'a learner counts for nothing');
    refused(/not a member/, remove('s9'));
    later(/no other voter answers/, remove('s1', true), (core) => {
      s2Down(core);
      core.set('s3', { recentActive: false });
    });
    refused(/last voter/, remove('s1', true), (core) => {
      core.state = { ...core.state, confState: confState(['s1']), progress: [peer('s1')] };
    });
  });

  it('hands leadership over before its leader is removed', () => {
    const core = new FakeCore();
    core.set('s2', { match: 900 });
    const membership = new Membership(core, new RecordingLogger());
    assert.throws(() => membership.start(remove('s1')), /hands over to s3 first/);
    assert.deepEqual([core.transfers, core.changes], [['s3'], []]);
  });

  it('hands leadership to a voter that answers', () => {
    assert.deepEqual(start({ $case: 'transferTo', value: 's2' }).transfers, ['s2']);
    refused(/leads already/, { $case: 'transferTo', value: 's1' });
    refused(/not a voter/, { $case: 'transferTo', value: 'l1' });
    later(/does not answer/, { $case: 'transferTo', value: 's2' }, (core) =>
      core.set('s2', { recentActive: false }),
    );
  });

  it('waits for another change, and says what the core refuses', () => {
    later(/another change/, remove('s3'), (core) => {
      core.answer = { ok: false, reason: 'conf-change-pending' };
    });
    later(/overloaded/, remove('s3'), (core) => {
      core.answer = { ok: false, reason: 'overloaded' };
    });
    refused(/does not fit/, remove('s3'), (core) => {
      core.answer = { ok: false, reason: 'conf-change-invalid' };
    });
  });

  it('promotes by itself who was added to vote, and nobody else', () => {
    const core = new FakeCore();
    const membership = new Membership(core, new RecordingLogger());
    const ticks = (): boolean[] => Array.from({ length: PROMOTE_INTERVAL_TICKS }, () => membership.tick());
    assert.ok(!ticks().includes(true), 'l1 was added as a learner');
    core.state = { ...core.state, confState: { ...core.state.confState, promotable: ['l1'] } };
    core.set('l1', { match: 1000 - PROMOTE_LAG_ENTRIES_MAX - 1 });
    assert.ok(!ticks().includes(true), 'too far behind');
    core.set('l1', { match: 1000 - PROMOTE_LAG_ENTRIES_MAX });
    assert.equal(ticks().filter(Boolean).length, 1);
    assert.deepEqual(steps(core), [{ kind: 'promote', id: 'l1', address: '' }]);
  });
});

describe('a cluster of drivers', () => {
  const s4 = 's4' as ServerId;
  const cluster = (
    disks = new Map<ServerId, MemoryMetaStorage>(),
    ids = ['s1', 's2', 's3'],
  ): ReplicaCluster => {
    return new ReplicaCluster({
      ids,
      storage: async (id) => {
        const disk = disks.get(id) ?? new MemoryMetaStorage();
        disks.set(id, disk);
        return disk;
      },
    });
  };
  const members = (replica: RaftReplica) => replica.members().map(({ id, address }) => `${id}=${address}`);

  it('takes in a server, which knows everybody’s address after a restart and can lead', async () => {
    const servers = cluster();
    await servers.startAll();
    const leader = await servers.elect();
    const joiner = await servers.start(s4);
    assert.equal(joiner.status().role, 'joining');
    await servers.during(leader.changeMembers(add(s4, 's4:1')), 's4 is added');
    await servers.until(() => leader.status().voters.includes(s4), 's4 votes');
    await servers.until(() => joiner.status().voters.includes(s4), 's4 knows');
    await servers.stop(s4);
    const again = await servers.start(s4);
    await servers.until(() => again.leader() !== undefined, 's4 hears of the leader');
    assert.deepEqual(members(again), ['s1=s1:1', 's2=s2:1', 's3=s3:1', 's4=s4:1']);
    await servers.during(leader.changeMembers({ $case: 'transferTo', value: s4 }), 'asked');
    await servers.until(() => again.isLeader(), 's4 leads');
    await servers.stopAll();
  });

  it('a server that was away while the leader was added answers it', async () => {
    const servers = cluster();
    await servers.startAll();
    const leader = await servers.elect();
    const away = servers.followers()[0]!.id;
    await servers.untilCaughtUp();
    await servers.stop(away);
    const joiner = await servers.start(s4);
    await servers.during(leader.changeMembers(add(s4, 's4:1')), 's4 is added');
    await servers.until(() => joiner.status().voters.includes(s4), 's4 votes');
    await servers.during(leader.changeMembers({ $case: 'transferTo', value: s4 }), 'asked');
    await servers.until(() => joiner.isLeader(), 's4 leads');
    await servers.start(away);
    await servers.untilCaughtUp();
    assert.ok(servers.get(away).status().voters.includes(s4));
    await servers.stopAll();
  });

  it('has nobody vote who waits to be added, since it may have lost its votes with its disk', async () => {
    const servers = cluster();
    await servers.startAll();
    await servers.elect();
    const joiner = await servers.start(s4);
    const from = { id: 's1' as ServerId, address: 's1:1', clusterId: CLUSTER_ID };
    const request = (type: RaftMessageType) => message(type, 's1', 's4', 90, { index: 99, logTerm: 89 });
    joiner.onMessages([request(RaftMessageType.PRE_VOTE), request(RaftMessageType.VOTE)], from);
    await servers.settle();
    assert.equal(joiner.status().term, 0);
    await servers.stopAll();
  });

  it('has another leader before one is removed', async () => {
    const servers = cluster();
    await servers.startAll();
    const old = await servers.elect();
    await servers.untilCaughtUp();
    await assert.rejects(servers.during(old.changeMembers(remove(old.id)), 'asked'), MemberChangeLaterError);
    await servers.until(() => servers.leader() !== undefined && servers.leader() !== old, 'another leads');
    await servers.during(servers.leader()!.changeMembers(remove(old.id)), 'it is removed');
    const { voters } = servers.leader()!.status();
    assert.ok(voters.length === 2 && !voters.includes(old.id));
    await servers.until(() => old.status().role === 'removed', 'it knows');
    await servers.stopAll();
  });

  // Found by: npm run sim -- --seed 1805267315 --profile mixed
  it('needs nobody any more whose removal is done, also after a power loss', async () => {
    const disks = new Map<ServerId, MemoryMetaStorage>();
    const servers = cluster(disks, ['s1', 's2']);
    await servers.startAll();
    const { id } = await servers.elect();
    const other = servers.followers()[0]!.id;
    await servers.untilCaughtUp();
    await servers.during(servers.get(id).changeMembers(remove(other)), 'it is removed');
    for (const server of [id, other]) {
      disks.get(server)!.losePower();
      servers.abandon(server);
    }
    const again = await servers.start(id);
    await servers.until(() => again.isLeader(), 'it leads alone');
    await servers.stopAll();
  });

  it('of two changes at once takes one', async () => {
    const servers = cluster();
    await servers.startAll();
    const leader = await servers.elect();
    const first = leader.changeMembers(add('s4', 's4:1', true));
    await assert.rejects(leader.changeMembers(add('s5', 's5:1', true)), MemberChangeLaterError);
    await servers.during(first, 's4 is added');
    assert.deepEqual(leader.status().learners, ['s4']);
    await servers.stopAll();
  });
});
