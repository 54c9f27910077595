import { strict as assert } from 'node:assert';
import { describe, it } from 'node:test';
import type { ServerId } from '../../../../src/base/ids.ts';
import { TABLE } from '../../../../src/core/namespace/keys.ts';
import { RaftSnapshotMeta } from '../../../../src/gen/ringfs/v1/raft.ts';
import type { StateCheckLimits } from '../../../../src/meta/raft/state-check-limits.ts';
import { StateStore } from '../../../../src/meta/raft/state-store.ts';
import type { KvStore, KvWrite } from '../../../../src/ports/kv-store.ts';
import type { MetaStorage } from '../../../../src/ports/meta-storage.ts';
import { MemoryMetaStorage } from '../../../support/memory-meta-storage.ts';
import { openSessionCommand, ReplicaCluster } from '../../../support/replica-cluster.ts';

const OFTEN: StateCheckLimits = { intervalMs: 500, waitMs: 200, auditIntervalMs: 1e9, auditPauseMs: 1 };
const AUDITS: StateCheckLimits = { ...OFTEN, intervalMs: 1e9, auditIntervalMs: 500 };
const FEW_ENTRIES = { bytesMax: 1 << 20, entriesMax: 60, entriesKept: 10, bytesHeldMax: 4 << 20 };
const BEGIN = { index: 0, term: 0 };

type Alter = (id: ServerId, batch: readonly KvWrite[]) => readonly KvWrite[];
type AlterRead = (id: ServerId, key: Uint8Array, value: Uint8Array | undefined) => Uint8Array | undefined;

interface Disks {
  readonly storages: Map<ServerId, MemoryMetaStorage>;
  alterWrite: Alter;
  alterRead: AlterRead;
  readonly storage: (id: ServerId) => Promise<MetaStorage>;
}

function disks(): Disks {
  const storages = new Map<ServerId, MemoryMetaStorage>();
  const own: Disks = {
    storages,
    alterWrite: (_, batch) => batch,
    alterRead: (_id, _key, value) => value,
    storage: async (id) => {
      const memory = storages.get(id) ?? new MemoryMetaStorage();
      storages.set(id, memory);
      const altered = (kv: KvStore): KvStore => ({
        get: async (key) => own.alterRead(id, key, await kv.get(key)),
        getMany: async (keys) =>
          (await kv.getMany(keys)).map((value, at) => own.alterRead(id, keys[at]!, value)),
        write: (batch, options) => kv.write(own.alterWrite(id, batch), options),
        scan: (range) => kv.scan(range),
        clear: (range) => kv.clear(range),
        close: () => kv.close(),
      });
      return {
        location: `disk of ${id}`,
        openLog: () => memory.openLog(),
        openState: async (name) => altered(await memory.openState(name)),
        states: () => memory.states(),
        current: () => memory.current(),
        switchTo: (name) => memory.switchTo(name),
        removeState: (name) => memory.removeState(name),
      };
    },
  };
  return own;
}

const isSession = (key: Uint8Array): boolean => key[0] === TABLE.session;
let commands = 0;

async function propose(cluster: ReplicaCluster, count: number): Promise<void> {
  const leader = await cluster.elect();
  const all = Array.from({ length: count }, () => leader.propose(openSessionCommand(commands++)));
  await cluster.during(Promise.all(all), 'proposals');
}

/** Until a comparison of what is there now has been made, and all have told. */
async function compared(cluster: ReplicaCluster): Promise<void> {
  const leader = await cluster.elect();
  const before = leader.status().lastIndex;
  await cluster.until(() => {
    const check = leader.status().stateCheck;
    return check !== undefined && check.index > before && check.agreed.length === cluster.replicas.size;
  }, 'all agree');
}

describe('replicas compare their states', () => {
  it('and agree: after commits, a restart, and the installation of a snapshot', async () => {
    const { storage } = disks();
    const cluster = new ReplicaCluster({ storage, stateChecks: OFTEN, logLimits: FEW_ENTRIES });
    await cluster.startAll();
    await propose(cluster, 30);
    await compared(cluster);
    const [follower] = cluster.followers();
    assert(follower !== undefined);
    await cluster.stop(follower.id);
    await propose(cluster, 10);
    await cluster.start(follower.id);
    await compared(cluster);

    const [other] = cluster.followers();
    assert(other !== undefined);
    await cluster.stop(other.id);
    await propose(cluster, 150);
    await cluster.until(() => (cluster.leader()?.status().firstIndex ?? 0) > 100, 'the log is compacted');
    await cluster.start(other.id);
    await cluster.untilCaughtUp();
    assert.deepEqual(cluster.network.snapshotsTo, [other.id]);
    await propose(cluster, 1);
    await compared(cluster);
    for (const replica of cluster.replicas.values()) {
      assert.deepEqual(replica.health(), { status: 'ok', detail: '' });
      assert.deepEqual(replica.status().stateCheck?.diverged, []);
    }
    await cluster.stopAll();
  });

  it('only when something was committed', async () => {
    const { storage } = disks();
    const cluster = new ReplicaCluster({ storage, stateChecks: OFTEN });
    await cluster.startAll();
    await propose(cluster, 1);
    await compared(cluster);
    const { lastIndex } = (await cluster.elect()).status();
    for (let i = 0; i < 300; i++) {
      await cluster.settle();
      cluster.timers.advance(10);
    }
    assert.equal((await cluster.elect()).status().lastIndex, lastIndex);
    await cluster.stopAll();
  });

  it('a follower that has something else stops, says so, and does not start again with it', async () => {
    const disk = disks();
    const cluster = new ReplicaCluster({ storage: disk.storage, stateChecks: OFTEN });
    await cluster.startAll();
    await propose(cluster, 3);
    await compared(cluster);
    const bad = cluster.followers()[0]!.id;
    // From here on it reads what is not there: a session that others make is known to it already.
    disk.alterRead = (id, key, value) => (id === bad && key[0] === TABLE.nonce ? Uint8Array.of(8, 1) : value);
    await propose(cluster, 3);
    await cluster.until(() => cluster.get(bad).health().status === 'degraded', 'the alarm');
    const { detail } = cluster.get(bad).health();
    assert.match(
      detail,
      /^its rows differ .* at log index \d+ their hash was \w{13}, and \w{13} at a majority; it has stopped/,
    );
    assert.match(detail, new RegExp(`disk of ${bad} .*ringfs cluster remove ${bad}.*ringfs cluster add`));
    assert.deepEqual(cluster.failures, []);
    assert.ok(
      cluster.logger.lines.some(({ level, message }) => level === 'fatal' && /stopped/.test(message)),
    );
    const leader = await cluster.elect();
    assert.match(leader.health().detail, new RegExp(`differ from those of ${bad} \\(hash \\w{13}`));
    assert.deepEqual(leader.status().stateCheck?.diverged, [bad]);
    assert.ok(
      cluster.logger.lines.some(
        ({ level, fields }) => level === 'error' && (fields as { diverged?: string[] }).diverged?.[0] === bad,
      ),
    );
    await propose(cluster, 3);

    disk.alterRead = (_id, _key, value) => value;
    await cluster.stop(bad);
    const again = await cluster.start(bad);
    await propose(cluster, 3);
    assert.equal(again.health().detail, detail);
    assert.ok(again.appliedIndex() < leader.appliedIndex());
    await cluster.stopAll();
  });

  it('a leader that has something else stops too, and another one goes on', async () => {
    const disk = disks();
    const cluster = new ReplicaCluster({ storage: disk.storage, stateChecks: OFTEN });
    await cluster.startAll();
    await propose(cluster, 3);
    const bad = (await cluster.elect()).id;
    disk.alterRead = (id, key, value) => (id === bad && key[0] === TABLE.nonce ? Uint8Array.of(8, 1) : value);
    await propose(cluster, 3);
    await cluster.until(() => cluster.get(bad).health().status === 'degraded', 'the alarm');
    await cluster.until(
      () => cluster.leader() !== undefined && cluster.leader()?.id !== bad,
      'another leader',
    );
    assert.match(cluster.get(bad).health().detail, /^its rows differ/);
    await propose(cluster, 3);
    assert.equal((await cluster.elect()).health().status, 'ok');
    await cluster.stopAll();
  });

  it('without a majority for either nobody stops, and the leader raises the alarm', async () => {
    const disk = disks();
    const cluster = new ReplicaCluster({ storage: disk.storage, stateChecks: OFTEN, ids: ['s1', 's2'] });
    await cluster.startAll();
    await propose(cluster, 3);
    const bad = cluster.followers()[0]!.id;
    disk.alterRead = (id, key, value) => (id === bad && key[0] === TABLE.nonce ? Uint8Array.of(8, 1) : value);
    await propose(cluster, 3);
    const leader = await cluster.elect();
    await cluster.until(
      () => cluster.logger.lines.some(({ message }) => /no majority has the same/.test(message)),
      'the alarm',
    );
    await propose(cluster, 3);
    assert.equal(leader.health().status, 'degraded');
    assert.equal(cluster.get(bad).health().status, 'ok');
    await cluster.stopAll();
  });
});

describe('a replica reads its rows through', () => {
  it('and stops when the disk does not have what was written', async () => {
    const disk = disks();
    const cluster = new ReplicaCluster({ storage: disk.storage, stateChecks: AUDITS });
    await cluster.startAll();
    await propose(cluster, 5);
    const bad = cluster.followers()[0]!.id;
    let lost = false;
    disk.alterWrite = (id, batch) => {
      if (id !== bad || lost || !batch.some(({ key }) => isSession(key))) return batch;
      lost = true;
      return batch.filter(({ key }) => !isSession(key));
    };
    await propose(cluster, 5);
    await cluster.until(() => cluster.get(bad).health().status === 'degraded', 'the alarm');
    assert.match(
      cluster.get(bad).health().detail,
      /^its disk does not have what was written to it: the \d+ rows/,
    );
    for (const replica of cluster.replicas.values()) {
      if (replica.id !== bad) assert.equal(replica.health().status, 'ok');
    }
    await propose(cluster, 5);
    await cluster.stopAll();
  });
});

describe('the hash of a state', () => {
  const confState = {
    voters: ['s1'],
    learners: [],
    votersOutgoing: [],
    learnersNext: [],
    autoLeave: false,
    addresses: [],
    promotable: [],
  };

  it('is found out once when an older version wrote the state', async () => {
    const disk = disks();
    const cluster = new ReplicaCluster({ storage: disk.storage, stateChecks: OFTEN });
    await cluster.startAll();
    await propose(cluster, 20);
    await cluster.untilCaughtUp();
    const [follower] = cluster.followers();
    assert(follower !== undefined);
    await cluster.stop(follower.id);
    const kv = await disk.storages.get(follower.id)!.openState('state-1');
    const key = Uint8Array.of(TABLE.driver, 1);
    const { index, term, confState: members } = RaftSnapshotMeta.decode((await kv.get(key))!);
    const value = RaftSnapshotMeta.encode({ index, term, confState: members }).finish();
    await kv.write([{ type: 'put', key, value }], { sync: true });
    await cluster.start(follower.id);
    await propose(cluster, 1);
    await compared(cluster);
    await cluster.stopAll();
  });

  it('must be that of the rows of a snapshot', async () => {
    const memory = new MemoryMetaStorage();
    const store = await StateStore.open(memory, { ...BEGIN, confState });
    const rows = [[Uint8Array.of(1), Uint8Array.of(2)] as const];
    const first = await store.beginInstall();
    await first.write(rows);
    await first.seal({ index: 5, term: 1, confState });
    await store.switchTo(first);
    const { stateHash } = store.applied;
    assert.deepEqual(await store.hashRows(async () => undefined), {
      index: 5,
      rows: 1,
      read: stateHash,
      kept: stateHash,
    });

    const second = await store.beginInstall();
    await second.write(rows);
    await second.seal({ index: 6, term: 1, confState, stateHash });
    const third = await store.beginInstall();
    await third.write([[Uint8Array.of(1), Uint8Array.of(3)]]);
    await assert.rejects(
      third.seal({ index: 6, term: 1, confState, stateHash }),
      /have the hash \w{13}, and their sender kept \w{13}/,
    );
    await store.close();
  });

  it('is kept, with what must not be used, over a restart', async () => {
    const memory = new MemoryMetaStorage();
    const store = await StateStore.open(memory, { ...BEGIN, confState });
    assert.equal(store.condemned, undefined);
    await store.condemn('it differs');
    await store.close();
    assert.equal((await StateStore.open(memory, { ...BEGIN, confState })).condemned, 'it differs');
  });
});

describe('a replica whose disk has something else than was written', () => {
  it('stops at once, also as leader, keeps its data, and stays stopped', async () => {
    const storages = new Map<string, MemoryMetaStorage>();
    const cluster = new ReplicaCluster({
      storage: async (id) => {
        const storage = storages.get(id) ?? new MemoryMetaStorage();
        storages.set(id, storage);
        return storage;
      },
    });
    await cluster.startAll();
    const leader = await cluster.elect();
    leader.damaged('the row 10 is not what was written');
    assert.equal(leader.isLeader(), false);
    const { status, detail } = leader.health();
    assert.equal(status, 'degraded');
    assert.match(detail, /the row 10 is not what was written; it has stopped.*ringfs cluster remove/);
    const next = await cluster.elect();
    assert.notEqual(next.id, leader.id);
    assert.deepEqual(cluster.failures, [], 'another start would not help');
    await cluster.stop(leader.id);
    assert.match((await cluster.start(leader.id)).health().detail, /the row 10 is not what was written/);
    await cluster.stopAll();
  });
});
