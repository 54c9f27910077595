import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CliError } from '../../../src/cli/cli-error.ts';
import { type ClusterCalls, ClusterClient } from '../../../src/cli/commands/cluster.ts';
import { type ChangeMembersReply, RaftStatus, ServerStatus } from '../../../src/gen/ringfs/v1/admin.ts';

type Change = Parameters<ClusterCalls['changeMembers']>[1];

const NO_STATUS = ServerStatus.decode(new Uint8Array(0));
const NO_RAFT = RaftStatus.decode(new Uint8Array(0));

/** Three servers of which one leads, as the calls of a client see them. Time passes only in sleeps. */
class FakeCluster implements ClusterCalls {
  leader: string | undefined = 's1';
  voters = ['s1', 's2', 's3'];
  learners: string[] = [];
  reachable = new Set(['h1:1', 'h2:1', 'h3:1']);
  readonly asked: string[] = [];
  onChange: (change: Change) => ChangeMembersReply = () => ({ result: undefined });
  onSleep: () => void = () => {};
  #nowMs = 0;

  async fetchStatus(address: string): Promise<ServerStatus> {
    if (!this.reachable.has(address)) throw new Error(`${address}: refused`);
    const id = `s${address.slice(1, 2)}`;
    const role = id === this.leader ? 'leader' : 'follower';
    const { voters, learners } = this;
    const peers = [...voters, ...learners].map((peer) => ({
      id: peer,
      matchIndex: 90,
      state: 'replicate',
      recentlyActive: true,
    }));
    const metaMembers = [...voters, ...learners].map((m) => ({ id: m, address: `h${m.slice(1)}:1` }));
    return {
      ...NO_STATUS,
      id,
      address,
      metaMembers,
      raft: { ...NO_RAFT, role, term: 1, lastIndex: 100, voters, learners, peers },
    };
  }

  async changeMembers(address: string, change: Change): Promise<ChangeMembersReply> {
    this.asked.push(address);
    return this.onChange(change);
  }

  nowMs(): number {
    return this.#nowMs;
  }

  async sleep(ms: number): Promise<void> {
    this.#nowMs += ms;
    this.onSleep();
  }
}

const remove: Change = { $case: 'remove', value: { id: 's3', force: false } };
const gone = (members: readonly { id: string }[]): boolean => members.every(({ id }) => id !== 's3');

describe('a client of the cluster’s administration', () => {
  it('finds the leader through any member and tells what it sees', async () => {
    const cluster = new FakeCluster();
    const members = await new ClusterClient(['h2:1'], 1_000, cluster).members();
    assert.deepEqual(members, [
      { id: 's1', address: 'h1:1', role: 'leader', behind: 0, answers: true },
      { id: 's2', address: 'h2:1', role: 'voter', behind: 10, answers: true },
      { id: 's3', address: 'h3:1', role: 'voter', behind: 10, answers: true },
    ]);
  });

  it('asks the next leader when the first is gone before it answered', async () => {
    const cluster = new FakeCluster();
    cluster.onChange = () => {
      if (cluster.leader === 's1') {
        cluster.leader = 's2';
        throw new Error('connection lost');
      }
      cluster.voters = ['s1', 's2'];
      return { result: { $case: 'done', value: { index: 5 } } };
    };
    await new ClusterClient(['h1:1', 'h2:1'], 10_000, cluster).change(remove, gone);
    assert.deepEqual(cluster.asked, ['h1:1', 'h2:1']);
  });

  it('asks nothing that is so already, as after an answer that was lost', async () => {
    const cluster = new FakeCluster();
    cluster.onChange = () => {
      cluster.voters = ['s1', 's2'];
      return { result: { $case: 'retry', value: 'lost' } };
    };
    await new ClusterClient(['h1:1'], 10_000, cluster).change(remove, gone);
    assert.equal(cluster.asked.length, 1);
  });

  it('reports a refusal at once, and at its deadline why it had to wait', async () => {
    const cluster = new FakeCluster();
    const failure = (pattern: RegExp) => (error: unknown) =>
      error instanceof CliError && pattern.test(error.message);
    const client = () => new ClusterClient(['h1:1'], 1_000, cluster);
    cluster.onChange = () => ({ result: { $case: 'refused', value: 's3 is needed' } });
    await assert.rejects(client().change(remove, gone), failure(/s3 is needed/));
    cluster.onChange = () => ({ result: { $case: 'retry', value: 'another change is under way' } });
    await assert.rejects(client().change(remove, gone), failure(/gave up waiting: another change/));
    cluster.leader = undefined;
    await assert.rejects(client().members(), failure(/no leader/));
    cluster.reachable.clear();
    await assert.rejects(client().members(), failure(/no server answers/));
  });

  it('waits until a learner votes', async () => {
    const cluster = new FakeCluster();
    cluster.learners = ['s4'];
    let sleeps = 0;
    cluster.onSleep = () => {
      if (++sleeps < 30) return;
      cluster.learners = [];
      cluster.voters = ['s1', 's2', 's3', 's4'];
    };
    const behind: (number | null | undefined)[] = [];
    await new ClusterClient(['h1:1'], 60_000, cluster).wait(
      (members) => members.some(({ id, role }) => id === 's4' && role === 'voter'),
      (members) => behind.push(members.find(({ id }) => id === 's4')?.behind),
    );
    assert.deepEqual(behind, [10, 10, 10], 'now and then, not every time');
  });
});
