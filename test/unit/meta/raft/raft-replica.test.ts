import { strict as assert } from 'node:assert';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import type { ServerId } from '../../../../src/base/ids.ts';
import { SESSION_SILENCE_TOLD_AGE_MS_MAX } from '../../../../src/base/limits.ts';
import { listSessions, readCluster } from '../../../../src/core/namespace/read.ts';
import { openMetaStorage } from '../../../../src/io/rocksdb/meta-storage.ts';
import type { RaftReplica } from '../../../../src/meta/raft/raft-replica.ts';
import { NotLeaderError, ProposalLostError } from '../../../../src/meta/replica.ts';
import type { MetaStorage } from '../../../../src/ports/meta-storage.ts';
import { MemoryMetaStorage } from '../../../support/memory-meta-storage.ts';
import { CLUSTER_ID, openSessionCommand, ReplicaCluster } from '../../../support/replica-cluster.ts';

const root = await mkdtemp(join(tmpdir(), 'ringfs-replica-'));
let directories = 0;
after(() => rm(root, { recursive: true, force: true }));

const KINDS = {
  memory: () => {
    const storages = new Map<string, MemoryMetaStorage>();
    return async (id: ServerId): Promise<MetaStorage> => {
      const storage = storages.get(id) ?? new MemoryMetaStorage();
      storages.set(id, storage);
      return storage;
    };
  },
  rocksdb: () => {
    const base = join(root, String(directories++));
    return (id: ServerId): Promise<MetaStorage> => openMetaStorage(join(base, id));
  },
};

const FEW_ENTRIES = {
  bytesMax: 1 << 20,
  entriesMax: 100,
  entriesKept: 20,
  bytesHeldMax: 4 << 20,
};

async function sessionsOf(replica: RaftReplica): Promise<number[]> {
  return (await listSessions(replica.state)).map((s) => s.session);
}

async function proposeMany(cluster: ReplicaCluster, from: number, count: number): Promise<void> {
  const leader = await cluster.elect();
  const all = Array.from({ length: count }, (_, i) => leader.propose(openSessionCommand(from + i)));
  await cluster.during(Promise.all(all), 'proposals');
}

for (const [kind, storageKind] of Object.entries(KINDS)) {
  describe(`Raft driver on ${kind}`, () => {
    it('elects one leader, which gives the cluster its identity once', async () => {
      const cluster = new ReplicaCluster({ storage: storageKind() });
      await cluster.startAll();
      const leader = await cluster.elect();
      await cluster.untilCaughtUp();
      for (const replica of cluster.replicas.values()) {
        assert.equal((await readCluster(replica.state))?.clusterId, CLUSTER_ID);
        assert.deepEqual(replica.leader(), { id: leader.id, address: `${leader.id}:1` });
      }
      assert.deepEqual(
        cluster.roles.map((r) => [r.id, r.role]),
        [[leader.id, 'leader']],
      );
      await cluster.stopAll();
    });

    it('commits 1000 commands on all replicas, each once and in the same order', async () => {
      const cluster = new ReplicaCluster({ storage: storageKind() });
      await cluster.startAll();
      await proposeMany(cluster, 0, 1000);
      await cluster.untilCaughtUp();
      const expected = await sessionsOf(cluster.get('s1' as ServerId));
      assert.equal(expected.length, 1000);
      for (const replica of cluster.replicas.values()) assert.deepEqual(await sessionsOf(replica), expected);
      for (const applied of cluster.applied.values()) {
        const indexes = applied.map((a) => a.index);
        assert.deepEqual(
          indexes,
          [...new Set(indexes)].sort((a, b) => a - b),
        );
        assert.equal(applied.filter((a) => a.outcome.value > 0).length, 1000);
      }
      await cluster.stopAll();
    });

    it('has everything after a restart from disk', async () => {
      const storage = storageKind();
      const first = new ReplicaCluster({ storage });
      await first.startAll();
      await proposeMany(first, 0, 100);
      await first.untilCaughtUp();
      const expected = await sessionsOf(first.get('s1' as ServerId));
      await first.stopAll();

      const second = new ReplicaCluster({ storage });
      await second.startAll();
      await proposeMany(second, 100, 10);
      await second.untilCaughtUp();
      const sessions = await sessionsOf(second.get('s1' as ServerId));
      assert.deepEqual(sessions.slice(0, 100), expected);
      assert.equal(sessions.length, 110);
      await second.stopAll();
    });

    it('goes on under a new leader when the leader is gone', async () => {
      const cluster = new ReplicaCluster({ storage: storageKind() });
      await cluster.startAll();
      await proposeMany(cluster, 0, 20);
      const old = await cluster.elect();
      await cluster.stop(old.id);
      await proposeMany(cluster, 20, 20);
      await cluster.start(old.id);
      await cluster.untilCaughtUp();
      assert.equal((await sessionsOf(cluster.get(old.id))).length, 40);
      assert.equal(cluster.network.snapshotsTo.length, 0, 'the log was enough');
      await cluster.stopAll();
    });

    it('compacts the log and brings a follower that was away up with a snapshot', async () => {
      const storage = storageKind();
      const cluster = new ReplicaCluster({ storage, logLimits: FEW_ENTRIES });
      await cluster.startAll();
      await proposeMany(cluster, 0, 10);
      const away = cluster.followers()[0]!.id;
      await cluster.stop(away);
      for (let i = 0; i < 6; i++) await proposeMany(cluster, 10 + i * 50, 50);
      const leader = await cluster.elect();
      await cluster.until(() => leader.status().firstIndex > 100, 'compaction');
      assert.ok(leader.status().lastIndex - leader.status().firstIndex < 150);
      await cluster.start(away);
      await cluster.untilCaughtUp();
      assert.deepEqual(cluster.network.snapshotsTo, [away]);
      assert.deepEqual(await sessionsOf(cluster.get(away)), await sessionsOf(leader));
      // It goes on from the log, and from its own disk.
      await proposeMany(cluster, 1000, 10);
      await cluster.untilCaughtUp();
      await cluster.stop(away);
      await cluster.start(away);
      await proposeMany(cluster, 2000, 10);
      await cluster.untilCaughtUp();
      assert.equal((await sessionsOf(cluster.get(away))).length, 330);
      assert.equal(cluster.network.snapshotsTo.length, 1);
      await cluster.stopAll();
    });

    it('refuses the directory of another cluster and of another server', async () => {
      const storage = storageKind();
      const cluster = new ReplicaCluster({ storage });
      await cluster.startAll();
      await cluster.elect();
      await cluster.stopAll();
      const other = new ReplicaCluster({ storage });
      await assert.rejects(other.start('s1' as ServerId, 'another-cluster'), /belongs to cluster 6f1c1c1e/);
      const swapped = new ReplicaCluster({ storage: () => storage('s2' as ServerId) });
      await assert.rejects(swapped.start('s1' as ServerId), /belongs to server s2, not to s1/);
    });
  });
}

describe('Raft driver on a damaged disk', () => {
  // RocksDB opens such a directory without a word, with everything from the damage on gone.
  it('refuses a log whose end RocksDB dropped', async () => {
    const base = join(root, 'damaged');
    const storage = (id: ServerId): Promise<MetaStorage> => openMetaStorage(join(base, id));
    const cluster = new ReplicaCluster({ ids: ['s1'], storage });
    await cluster.startAll();
    await proposeMany(cluster, 0, 50);
    for (let i = 0; i < 10; i++) await proposeMany(cluster, 100 + i, 1);
    await cluster.stopAll();
    const directory = join(base, 's1', 'log');
    const files = (await readdir(directory)).filter((name) => name.endsWith('.log'));
    assert.equal(files.length, 1);
    const path = join(directory, files[0]!);
    const bytes = await readFile(path);
    bytes[bytes.length >> 1]! ^= 0x40;
    await writeFile(path, bytes);
    await assert.rejects(
      cluster.start('s1' as ServerId),
      /has applied entry \d+, which the log does not have/,
    );
  });
});

describe('Raft driver', () => {
  it('can be stopped while it starts, and more than once', async () => {
    const storage = new MemoryMetaStorage();
    const cluster = new ReplicaCluster({ ids: ['s1'], storage: async () => storage });
    const replica = await cluster.create('s1' as ServerId);
    await Promise.all([replica.start(), replica.stop(), replica.stop()]);
    assert.equal(replica.health().status, 'stopping');
    await assert.rejects(replica.propose(openSessionCommand(1)), NotLeaderError);
    await assert.rejects(async () => await replica.state.get(Uint8Array.of(1)), /stopped/);
    assert.equal(cluster.timers.pending, 0);
  });

  it('refuses proposals and reads on a follower, naming the leader', async () => {
    const cluster = new ReplicaCluster({ storage: KINDS.memory() });
    await cluster.startAll();
    const leader = await cluster.elect();
    await cluster.untilCaughtUp();
    const follower = cluster.followers()[0]!;
    const isNotLeader = (error: unknown): boolean =>
      error instanceof NotLeaderError && error.leader?.id === leader.id;
    await assert.rejects(follower.propose(openSessionCommand(1)), isNotLeader);
    await assert.rejects(follower.readBarrier(), isNotLeader);
    await cluster.stopAll();
  });

  it('loses the proposals of a leader that is cut off, and applies those of its successor in their place', async () => {
    const cluster = new ReplicaCluster({ storage: KINDS.memory() });
    await cluster.startAll();
    await proposeMany(cluster, 0, 5);
    const old = await cluster.elect();
    cluster.network.isolate(old.id);
    const lost = old.propose(openSessionCommand(100));
    lost.catch(() => undefined);
    await cluster.until(() => !old.isLeader(), 'the old leader notices');
    await assert.rejects(lost, ProposalLostError);
    await proposeMany(cluster, 200, 5);
    cluster.network.heal();
    await cluster.untilCaughtUp();
    assert.equal((await sessionsOf(old)).length, 10);
    await cluster.stopAll();
  });

  it('passes on whom the leader has not heard of, until it has heard of them', async () => {
    const cluster = new ReplicaCluster({ storage: KINDS.memory() });
    await cluster.startAll();
    const old = await cluster.elect();
    const silent = [{ session: 7, silentMs: 6_000 }];
    const told = (): number[] => cluster.followers().map((f) => f.toldSilence()[0]?.silentMs ?? 0);
    old.tellSilence([{ session: 8, silentMs: 9_000 }]);
    await cluster.until(() => told().every((ms) => ms >= 9_000), 'the followers know');
    old.tellSilence([]);
    await cluster.until(() => told().every((ms) => ms === 0), 'all have been heard');
    old.tellSilence(silent);
    await cluster.until(() => told().every((ms) => ms >= 6_000), 'the followers know again');
    cluster.network.isolate(old.id);
    const leads = (): RaftReplica | undefined =>
      [...cluster.replicas.values()].find((replica) => replica !== old && replica.isLeader());
    await cluster.until(() => leads() !== undefined, 'another leader');
    const next = leads()!;
    const [session] = next.toldSilence();
    assert.ok(session?.session === 7 && session.silentMs > 6_000, JSON.stringify(session));
    // Whom nobody has told of for long may have been heard meanwhile.
    await cluster.stop(next.id);
    const start = cluster.timers.nowMs();
    await cluster.until(() => cluster.timers.nowMs() - start > SESSION_SILENCE_TOLD_AGE_MS_MAX, 'a while');
    for (const id of cluster.replicas.keys()) assert.deepEqual(cluster.get(id).toldSilence(), []);
    await cluster.stopAll();
  });

  it('holds a lease only as long as no other leader can exist', async () => {
    const cluster = new ReplicaCluster({ storage: KINDS.memory() });
    await cluster.startAll();
    const old = await cluster.elect();
    await cluster.until(() => old.leaseValid(), 'a lease');
    cluster.network.isolate(old.id);
    await cluster.until(() => {
      const leaders = [...cluster.replicas.values()].filter((r) => r !== old && r.status().role === 'leader');
      if (leaders.length > 0) assert.equal(old.leaseValid(), false);
      return leaders.length > 0;
    }, 'a second leader');
    await cluster.stopAll();
  });

  it('has no lease after its event loop stood still, before it hears from the others', async () => {
    const cluster = new ReplicaCluster({ storage: KINDS.memory() });
    await cluster.startAll();
    const leader = await cluster.elect();
    await cluster.until(() => leader.leaseValid(), 'a lease');
    cluster.timers.stall(5000);
    assert.equal(leader.leaseValid(), false);
    await cluster.settle();
    assert.ok(leader.isLeader(), 'a stall alone deposes nobody');
    await cluster.until(() => leader.leaseValid(), 'a lease again');
    await cluster.stopAll();
  });

  it('reads with a heartbeat round when there is no lease, sharing it', async () => {
    const cluster = new ReplicaCluster({ storage: KINDS.memory() });
    await cluster.startAll();
    const leader = await cluster.elect();
    await cluster.untilCaughtUp();
    cluster.timers.stall(5000);
    assert.equal(leader.leaseValid(), false);
    const barriers = Array.from({ length: 50 }, () => leader.readBarrier());
    await cluster.during(Promise.all(barriers), 'read barriers');
    await cluster.stopAll();
  });

  it('rejects read barriers of a leader that is cut off', async () => {
    const cluster = new ReplicaCluster({ storage: KINDS.memory() });
    await cluster.startAll();
    const leader = await cluster.elect();
    cluster.network.isolate(leader.id);
    await cluster.until(() => !leader.leaseValid() || !leader.isLeader(), 'the lease ends');
    if (leader.isLeader()) {
      await assert.rejects(cluster.during(leader.readBarrier(), 'the barrier fails'), NotLeaderError);
    }
    await cluster.until(() => !leader.isLeader(), 'it steps down');
    await cluster.stopAll();
  });

  it('repeats from the log what the state lost with the power', async () => {
    const storages = new Map<string, MemoryMetaStorage>();
    const storage = async (id: ServerId): Promise<MetaStorage> => {
      if (!storages.has(id)) storages.set(id, new MemoryMetaStorage());
      return storages.get(id)!;
    };
    const first = new ReplicaCluster({ storage });
    await first.startAll();
    await proposeMany(first, 0, 50);
    for (const id of first.ids) {
      storages.get(id)!.losePower();
      first.abandon(id);
    }
    const second = new ReplicaCluster({ storage });
    await second.startAll();
    assert.ok(second.get('s1' as ServerId).appliedIndex() < 50, 'the state was not synced');
    await second.elect();
    await second.untilCaughtUp();
    for (const replica of second.replicas.values()) assert.equal((await sessionsOf(replica)).length, 50);
    await second.stopAll();
  });

  it('hands leadership over', async () => {
    const cluster = new ReplicaCluster({ storage: KINDS.memory() });
    await cluster.startAll();
    const old = await cluster.elect();
    await cluster.untilCaughtUp();
    const heir = cluster.followers()[0]!;
    assert.equal(await old.changeMembers({ $case: 'transferTo', value: heir.id }), 0);
    await cluster.until(() => heir.isLeader(), 'the heir leads');
    await cluster.stopAll();
  });

  it('runs as a cluster of one', async () => {
    const cluster = new ReplicaCluster({ ids: ['s1'], storage: KINDS.memory() });
    await cluster.startAll();
    await proposeMany(cluster, 0, 10);
    const leader = await cluster.elect();
    assert.ok(leader.leaseValid());
    await leader.readBarrier();
    assert.equal((await sessionsOf(leader)).length, 10);
    await cluster.stopAll();
  });
});
