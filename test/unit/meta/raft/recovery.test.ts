import { strict as assert } from 'node:assert';
import { describe, it } from 'node:test';
import type { ServerId } from '../../../../src/base/ids.ts';
import { listSessions } from '../../../../src/core/namespace/read.ts';
import { EntryType, type RaftEntry } from '../../../../src/gen/ringfs/v1/raft.ts';
import { DataDirectoryError } from '../../../../src/meta/raft/errors.ts';
import type { Failpoint } from '../../../../src/meta/raft/failpoint.ts';
import { encodeEntry, entryKey, seal } from '../../../../src/meta/raft/log-codec.ts';
import type { RaftReplica } from '../../../../src/meta/raft/raft-replica.ts';
import type { MetaStorage } from '../../../../src/ports/meta-storage.ts';
import { MemoryMetaStorage } from '../../../support/memory-meta-storage.ts';
import { openSessionCommand, ReplicaCluster } from '../../../support/replica-cluster.ts';

const S1 = 's1' as ServerId;
const FEW_ENTRIES = { bytesMax: 1 << 20, entriesMax: 100, entriesKept: 20, bytesHeldMax: 4 << 20 };

class Storages {
  readonly #all = new Map<string, MemoryMetaStorage>();

  get(id: string): MemoryMetaStorage {
    const storage = this.#all.get(id) ?? new MemoryMetaStorage();
    this.#all.set(id, storage);
    return storage;
  }

  readonly open = async (id: ServerId): Promise<MetaStorage> => this.get(id);
}

async function proposeMany(cluster: ReplicaCluster, from: number, count: number): Promise<void> {
  const leader = await cluster.elect();
  const all = Array.from({ length: count }, (_, i) => leader.propose(openSessionCommand(from + i)));
  await cluster.during(Promise.all(all), 'proposals');
}

async function countSessions(replica: RaftReplica): Promise<number> {
  return (await listSessions(replica.state)).length;
}

/** A cluster of one with some sessions, stopped. */
async function stoppedServer(sessions: number): Promise<MemoryMetaStorage> {
  const storages = new Storages();
  const cluster = new ReplicaCluster({ ids: ['s1'], storage: storages.open });
  await cluster.startAll();
  await proposeMany(cluster, 0, sessions);
  await cluster.stopAll();
  return storages.get('s1');
}

function startFrom(storage: MetaStorage): Promise<RaftReplica> {
  return new ReplicaCluster({ ids: ['s1'], storage: async () => storage }).start(S1);
}

const refusedFor =
  (what: RegExp) =>
  (error: unknown): boolean =>
    error instanceof DataDirectoryError &&
    what.test(error.message) &&
    /restore the directory from a backup/i.test(error.message) &&
    !/new member|empty directory/.test(error.message);

describe('a replica that has taken part before', () => {
  it('does not begin anew when its log is gone', async () => {
    const cluster = new ReplicaCluster({
      ids: ['s1'],
      storage: async () => new MemoryMetaStorage(),
      restarts: true,
    });
    await assert.rejects(cluster.start(S1), refusedFor(/its log is empty/));
    const storage = await stoppedServer(3);
    const again = new ReplicaCluster({ ids: ['s1'], storage: async () => storage, restarts: true });
    assert.equal(await countSessions(await again.start(S1)), 3);
    await again.stopAll();
  });
});

describe('before a replica takes part', () => {
  it('its log is there, and nothing has been voted or sent', async () => {
    const storages = new Storages();
    const seen: string[] = [];
    const cluster: ReplicaCluster = new ReplicaCluster({
      ids: ['s1'],
      storage: storages.open,
      beforeTakingPart: () => {
        const keys = storages
          .get('s1')
          .logRows.dumpSync()
          .map(([key]) => String.fromCharCode(key[0] ?? 0));
        seen.push(keys.join());
      },
    });
    await cluster.startAll();
    assert.deepEqual(seen, ['i,s']);
    await cluster.elect();
    await cluster.stopAll();
  });

  it('what is thrown ends the start, and the next one works', async () => {
    const storages = new Storages();
    let full = true;
    const cluster = new ReplicaCluster({
      ids: ['s1'],
      storage: storages.open,
      beforeTakingPart: () => {
        if (full) throw new Error('no space');
      },
    });
    await assert.rejects(cluster.start(S1), /no space/);
    full = false;
    await cluster.start(S1);
    await cluster.elect();
    await cluster.stopAll();
  });
});

describe('recovery refuses what it cannot account for', () => {
  it('an entry with a flipped bit', async () => {
    const storage = await stoppedServer(10);
    const value = (await storage.logRows.get(entryKey(5)))!;
    value[value.length - 1]! ^= 1;
    storage.logRows.writeSync([{ type: 'put', key: entryKey(5), value }]);
    await assert.rejects(startFrom(storage), refusedFor(/entry 5: checksum mismatch/));
  });

  it('an entry under the wrong index', async () => {
    const storage = await stoppedServer(10);
    const value = (await storage.logRows.get(entryKey(5)))!;
    storage.logRows.writeSync([{ type: 'put', key: entryKey(6), value }]);
    await assert.rejects(startFrom(storage), refusedFor(/entry 6: checksum mismatch/));
  });

  it('missing entries in the middle', async () => {
    const storage = await stoppedServer(10);
    storage.logRows.writeSync([4, 5].map((i) => ({ type: 'del', key: entryKey(i) })));
    await assert.rejects(startFrom(storage), refusedFor(/entries 4 to 5 are missing/));
  });

  it('missing entries at the end that had been applied', async () => {
    const storage = await stoppedServer(10);
    storage.logRows.writeSync([{ type: 'del', key: entryKey(12) }]);
    await assert.rejects(startFrom(storage), refusedFor(/has applied entry 12, which the log does not have/));
  });

  it('another entry where the applied one should be', async () => {
    const storage = await stoppedServer(10);
    const entry: RaftEntry = { index: 12, term: 99, type: EntryType.NORMAL, data: new Uint8Array(1) };
    const key = entryKey(12);
    storage.logRows.writeSync([{ type: 'put', key, value: seal(key, encodeEntry(entry)) }]);
    await assert.rejects(startFrom(storage), refusedFor(/has applied entry 12/));
  });

  it('a log without its hard state’s committed entries', async () => {
    const storage = await stoppedServer(10);
    storage.losePower();
    storage.logRows.writeSync([11, 12].map((i) => ({ type: 'del', key: entryKey(i) })));
    await assert.rejects(startFrom(storage), refusedFor(/was committed and the log ends at 10/));
  });

  it('a log without the state that it continues', async () => {
    const storages = new Storages();
    const cluster = new ReplicaCluster({ ids: ['s1'], storage: storages.open, logLimits: FEW_ENTRIES });
    await cluster.startAll();
    for (let i = 0; i < 5; i++) await proposeMany(cluster, i * 50, 50);
    const replica = cluster.get(S1);
    await cluster.until(() => replica.status().firstIndex > 1, 'compaction');
    await cluster.stopAll();
    const storage = storages.get('s1');
    const lost: MetaStorage = {
      location: storage.location,
      openLog: () => storage.openLog(),
      openState: (name) => storage.openState(name),
      states: async () => [],
      current: async () => undefined,
      switchTo: (name) => storage.switchTo(name),
      removeState: (name) => storage.removeState(name),
    };
    await assert.rejects(startFrom(lost), refusedFor(/CURRENT is missing/));
  });

  it('and leaves a good directory usable after a refused start', async () => {
    const storage = await stoppedServer(10);
    const good = (await storage.logRows.get(entryKey(5)))!;
    storage.logRows.writeSync([{ type: 'del', key: entryKey(5) }]);
    await assert.rejects(startFrom(storage), DataDirectoryError);
    storage.logRows.writeSync([{ type: 'put', key: entryKey(5), value: good }]);
    const replica = await startFrom(storage);
    assert.equal(await countSessions(replica), 10);
    await replica.stop();
  });
});

describe('a full disk', () => {
  it('stops the leader from acting; another one takes over; it returns when there is space', async () => {
    const storages = new Storages();
    const cluster = new ReplicaCluster({ storage: storages.open });
    await cluster.startAll();
    await proposeMany(cluster, 0, 10);
    const old = await cluster.elect();
    storages.get(old.id).fillDisk();
    const lost = old.propose(openSessionCommand(50));
    lost.catch(() => undefined);
    await cluster.until(() => !old.isLeader(), 'it leads no more');
    assert.deepEqual(old.health(), { status: 'degraded', detail: 'no space left for the metadata' });
    assert.equal(old.leader(), undefined);
    assert.ok(cluster.logger.lines.some((l) => l.level === 'fatal'));
    await cluster.until(() => cluster.leader() !== undefined, 'another leader');
    await proposeMany(cluster, 100, 10);
    storages.get(old.id).writeFailure = undefined;
    await cluster.untilCaughtUp();
    assert.equal(old.health().status, 'ok');
    const counts = await Promise.all([...cluster.replicas.values()].map(countSessions));
    assert.ok(counts[0]! >= 20 && counts.every((c) => c === counts[0]));
    await cluster.stopAll();
  });

  it('in a cluster of one, keeps the proposal back until it is stored', async () => {
    const storages = new Storages();
    const cluster = new ReplicaCluster({ ids: ['s1'], storage: storages.open });
    await cluster.startAll();
    await proposeMany(cluster, 0, 1);
    const replica = cluster.get(S1);
    storages.get('s1').fillDisk();
    const lost = replica.propose(openSessionCommand(50));
    await assert.rejects(cluster.during(lost, 'refusal'));
    for (let i = 0; i < 5; i++) {
      cluster.timers.advance(1000);
      await cluster.settle();
      assert.equal(await countSessions(replica), 1, 'nothing is applied that is not stored');
    }
    storages.get('s1').writeFailure = undefined;
    await proposeMany(cluster, 100, 1);
    assert.equal(await countSessions(replica), 3);
    await cluster.stopAll();
  });

  it('does not keep the replica from stopping', async () => {
    const storages = new Storages();
    const cluster = new ReplicaCluster({ ids: ['s1'], storage: storages.open });
    await cluster.startAll();
    const replica = await cluster.elect();
    storages.get('s1').fillDisk();
    const lost = replica.propose(openSessionCommand(1));
    await assert.rejects(cluster.during(lost, 'refusal'));
    assert.deepEqual(cluster.failures, [], 'it heals by itself');
    await cluster.stopAll();
  });

  it('is told apart from a broken disk, which only a new start gets over', async () => {
    const storages = new Storages();
    const cluster = new ReplicaCluster({ ids: ['s1'], storage: storages.open });
    await cluster.startAll();
    const replica = await cluster.elect();
    storages.get('s1').writeFailure = new Error('input/output error');
    const lost = replica.propose(openSessionCommand(1));
    await assert.rejects(cluster.during(lost, 'refusal'));
    storages.get('s1').writeFailure = undefined;
    cluster.timers.advance(10_000);
    await cluster.settle();
    assert.equal(replica.health().status, 'degraded');
    assert.match(replica.health().detail, /restart this server: input\/output error/);
    assert.deepEqual(cluster.failures, [{ id: 's1', reason: replica.health().detail }]);
    assert.equal(replica.isLeader(), false);
    await cluster.stopAll();
    await cluster.startAll();
    await proposeMany(cluster, 10, 1);
    await cluster.stopAll();
  });
});

describe('installing a snapshot', () => {
  /** A follower that needs a snapshot, with a failpoint armed in it. */
  async function lagging(storages: Storages, armed: { point: string | undefined }): Promise<ReplicaCluster> {
    const failpoint =
      (id: ServerId): Failpoint =>
      (name) => {
        if (id === 's3' && name === armed.point) throw new Error(`crash at ${name}`);
      };
    const cluster = new ReplicaCluster({ storage: storages.open, logLimits: FEW_ENTRIES, failpoint });
    await cluster.startAll();
    await cluster.elect();
    await cluster.untilCaughtUp();
    await cluster.stop('s3' as ServerId);
    for (let i = 0; i < 5; i++) await proposeMany(cluster, i * 50, 50);
    const leader = await cluster.elect();
    await cluster.until(() => leader.status().firstIndex > 50, 'compaction');
    return cluster;
  }

  for (const point of ['snapshot-install', 'snapshot-switched']) {
    it(`can be interrupted at ${point} and finished after a restart`, async () => {
      const storages = new Storages();
      const armed: { point: string | undefined } = { point };
      const cluster = await lagging(storages, armed);
      const s3 = 's3' as ServerId;
      const broken = await cluster.start(s3);
      await cluster.until(() => broken.health().status === 'degraded', 'the crash');
      storages.get('s3').losePower();
      cluster.abandon(s3);
      armed.point = undefined;
      const replica = await cluster.start(s3);
      await cluster.untilCaughtUp();
      assert.equal(await countSessions(replica), 250);
      const finished = cluster.logger.lines.some(
        (l) => l.message === 'finishing the installation of a snapshot',
      );
      assert.equal(finished, point === 'snapshot-switched');
      assert.equal((await storages.get('s3').states()).length, 1, 'left-overs are gone');
      await proposeMany(cluster, 1000, 10);
      await cluster.untilCaughtUp();
      await cluster.stop(s3);
      assert.equal(await countSessions(await cluster.start(s3)), 260);
      await cluster.stopAll();
    });
  }

  it('is tried again when the stream breaks', async () => {
    const storages = new Storages();
    const cluster = await lagging(storages, { point: undefined });
    const s3 = 's3' as ServerId;
    const replica = await cluster.start(s3);
    await cluster.until(() => cluster.network.snapshotsTo.length > 0, 'a snapshot on its way');
    cluster.network.isolate(s3);
    for (let i = 0; i < 10; i++) {
      cluster.timers.advance(100);
      await cluster.settle();
    }
    cluster.network.heal();
    await cluster.untilCaughtUp();
    assert.equal(await countSessions(replica), 250);
    await cluster.stopAll();
  });
});
