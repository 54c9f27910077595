import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ROOT_INO, type ServerId } from '../../../../src/base/ids.ts';
import { RESTORE_INDEX_GAP, RESTORE_INO_GAP } from '../../../../src/base/limits.ts';
import { CLUSTER_KEY } from '../../../../src/core/namespace/keys.ts';
import { listSessions, lookup, readCluster, readCounters } from '../../../../src/core/namespace/read.ts';
import { CLUSTER } from '../../../../src/core/namespace/rows.ts';
import { decodeDump } from '../../../../src/meta/maintenance/dump-format.ts';
import { Dumps } from '../../../../src/meta/maintenance/dumps.ts';
import { MaintenanceError } from '../../../../src/meta/maintenance/errors.ts';
import { loadDump } from '../../../../src/meta/maintenance/load-dump.ts';
import { NotLeaderError } from '../../../../src/meta/replica.ts';
import { fileOf, inOrder, streamOf } from '../../../support/dumps.ts';
import { MemoryMetaStorage } from '../../../support/memory-meta-storage.ts';
import { namespaceFindings } from '../../../support/namespace-findings.ts';
import {
  CLUSTER_ID,
  createFileCommand,
  openSessionCommand,
  ReplicaCluster,
} from '../../../support/replica-cluster.ts';

const NAMES = ['a', 'b', 'c'];
const name = (text: string): Uint8Array => new TextEncoder().encode(text);

/** The dump of a cluster that goes on while it is read. */
async function dumpOfRunning(): Promise<{ file: Uint8Array; index: number; nextIno: number }> {
  const cluster = new ReplicaCluster({ storage: async () => new MemoryMetaStorage() });
  await cluster.startAll();
  const leader = await cluster.elect();
  const opened = await cluster.during(leader.propose(openSessionCommand(1)), 'a session');
  const session = opened.outcome.value;
  for (const [i, each] of NAMES.entries()) {
    await cluster.during(leader.propose(createFileCommand(session, i + 1, each)), 'a file');
  }
  const index = leader.appliedIndex();
  const { nextIno } = await readCounters(leader.state);
  const parts = await cluster.during(
    leader.readBarrier().then(() => leader.capture()),
    'the beginning of a dump',
  );
  const first = await parts.next();
  await cluster.during(leader.propose(createFileCommand(session, NAMES.length + 1, 'later')), 'a later file');
  const file = await fileOf(
    (async function* () {
      if (first.done !== true) yield first.value;
      yield* parts;
    })(),
  );
  await cluster.stopAll();
  return { file, index, nextIno };
}

const members = ['s1', 's2', 's3'].map((id) => ({ id: id as ServerId, address: `${id}:1` }));

describe('a new cluster from a dump', () => {
  it('has what was there at one moment, goes on behind it, and has forgotten the clients', async () => {
    const { file, index, nextIno } = await dumpOfRunning();
    const storages = new Map<string, MemoryMetaStorage>();
    for (const { id } of members) {
      const storage = new MemoryMetaStorage();
      storages.set(id, storage);
      const loaded = await loadDump(decodeDump(inOrder([file])), storage, { id, members });
      assert.equal(loaded.header.meta?.index, index);
      assert.equal(loaded.index, index + RESTORE_INDEX_GAP);
      assert.deepEqual([loaded.clusterId, loaded.dropped], [CLUSTER_ID, 3]);
    }
    const cluster = new ReplicaCluster({ storage: async (id) => storages.get(id)! });
    await cluster.startAll();
    const leader = await cluster.elect();
    assert.ok(leader.appliedIndex() > index + RESTORE_INDEX_GAP);
    assert.deepEqual(await listSessions(leader.state), []);
    for (const each of NAMES) assert.ok((await lookup(leader.state, ROOT_INO, name(each))).attr, each);
    assert.equal((await lookup(leader.state, ROOT_INO, name('later'))).attr, undefined);
    const opened = await cluster.during(leader.propose(openSessionCommand(1)), 'a session');
    assert.ok(opened.outcome.value > index + RESTORE_INDEX_GAP, 'no session number is given out twice');
    await cluster.during(leader.propose(createFileCommand(opened.outcome.value, 1, 'new')), 'a new file');
    assert.equal((await lookup(leader.state, ROOT_INO, name('new'))).attr?.ino, nextIno + RESTORE_INO_GAP);
    await cluster.untilCaughtUp();
    for (const replica of cluster.replicas.values()) {
      assert.deepEqual((await namespaceFindings(replica.state)).findings, []);
    }
    await cluster.stopAll();
  });

  it('takes another name if it is given one', async () => {
    const { file } = await dumpOfRunning();
    const storage = new MemoryMetaStorage();
    const only = [{ id: 'x1' as ServerId, address: 'x1:1' }];
    await loadDump(decodeDump(inOrder([file])), storage, {
      id: only[0]!.id,
      members: only,
      clusterId: 'other',
    });
    const cluster = new ReplicaCluster({ ids: ['x1'], storage: async () => storage });
    const replica = await cluster.start('x1' as ServerId, 'other');
    await cluster.elect();
    assert.equal((await readCluster(replica.state))?.clusterId, 'other');
    await cluster.stopAll();
  });

  it('leaves nothing that a server would start from when the dump turns out to be bad', async () => {
    const { file } = await dumpOfRunning();
    const storage = new MemoryMetaStorage();
    const cut = file.subarray(0, file.length - 1);
    await assert.rejects(
      loadDump(decodeDump(inOrder([cut])), storage, { id: members[0]!.id, members }),
      MaintenanceError,
    );
    assert.equal(await storage.current(), undefined);
    assert.equal(storage.logRows.size, 0);
  });

  it('is refused when the namespace is newer than the program', async () => {
    const row = { clusterId: 'c', replicas: 3, formatVersion: 2, time: undefined, version: 1 };
    const parts = streamOf([[CLUSTER_KEY, CLUSTER.encode(row)]]);
    await assert.rejects(
      loadDump(parts, new MemoryMetaStorage(), { id: members[0]!.id, members }),
      (error: unknown) =>
        error instanceof MaintenanceError && /namespace in the dump has format version 2/.test(error.message),
    );
  });
});

describe('the dumps that a server gives', () => {
  const endless = { dump: async () => streamOf([]) };

  it('are a few at a time, however they end', async () => {
    const dumps = new Dumps(endless);
    const [one, two] = [await dumps.open(), await dumps.open()];
    await assert.rejects(dumps.open(), /2 dumps are being made/);
    await one.return?.();
    await one.return?.();
    const three = await dumps.open();
    await assert.rejects(dumps.open(), /2 dumps are being made/);
    for await (const _ of two);
    for await (const _ of three);
    await dumps.open();
    await dumps.open();
    await assert.rejects(dumps.open(), /2 dumps are being made/);
  });

  it('come from the leader, and a refusal does not count', async () => {
    const leader = { id: 's2' as ServerId, address: 's2:1' };
    const dumps = new Dumps({
      dump: async () => {
        throw new NotLeaderError(leader);
      },
    });
    for (let i = 0; i < 5; i++) await assert.rejects(dumps.open(), /not the leader any more, which is s2/);
  });
});
