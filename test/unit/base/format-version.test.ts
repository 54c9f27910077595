import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { versionRefusal } from '../../../src/base/format-version.ts';
import type { ServerId } from '../../../src/base/ids.ts';
import { readCluster, writeCluster } from '../../../src/cli/run-state.ts';
import { claimDataDirectory, storedIdentity } from '../../../src/cli/server/identity.ts';
import { CLUSTER_KEY } from '../../../src/core/namespace/keys.ts';
import { CLUSTER } from '../../../src/core/namespace/rows.ts';
import { crc32c } from '../../../src/io/segments/format.ts';
import { DataDirectoryError, SnapshotRefusedError } from '../../../src/meta/raft/errors.ts';
import {
  decodeIdentity,
  encodeIdentity,
  IDENTITY_KEY,
  seal,
  unseal,
} from '../../../src/meta/raft/log-codec.ts';
import { BlockStoreError } from '../../../src/ports/block-store.ts';
import { cliError } from '../../support/cli-errors.ts';
import { streamOf } from '../../support/dumps.ts';
import { MemoryMetaStorage } from '../../support/memory-meta-storage.ts';
import { CLUSTER_ID, openSessionCommand, ReplicaCluster } from '../../support/replica-cluster.ts';
import { SegmentFixture } from '../../support/segment-fixture.ts';

describe('the rule for versions of what is stored', () => {
  it('reads the range that it knows, and says what to do with the rest', () => {
    const range = { oldest: 2, newest: 4 };
    for (const version of [2, 3, 4]) assert.equal(versionRefusal(version, range), undefined);
    const newer = versionRefusal(5, range);
    assert.equal(newer?.problem, 'has format version 5; this RingFS reads versions 2 to 4');
    assert.match(newer.advice, /newer RingFS/);
    assert.match(versionRefusal(1, range)?.advice ?? '', /in between/);
    assert.equal(
      versionRefusal(9, { oldest: 1, newest: 1 })?.problem,
      'has format version 9; this RingFS reads version 1',
    );
    for (const none of [Number.NaN, 2.5, 0]) assert.ok(versionRefusal(none, range));
  });
});

/** A server of a cluster of one that has stopped. */
async function stoppedServer(): Promise<MemoryMetaStorage> {
  const storage = new MemoryMetaStorage();
  const cluster = new ReplicaCluster({ ids: ['s1'], storage: async () => storage });
  await cluster.startAll();
  const leader = await cluster.elect();
  await cluster.during(leader.propose(openSessionCommand(1)), 'a session');
  await cluster.stopAll();
  return storage;
}

const start = (storage: MemoryMetaStorage): Promise<unknown> =>
  new ReplicaCluster({ ids: ['s1'], storage: async () => storage }).start('s1' as ServerId);

/** Of a server that does not start; not the advice for damage, which would have a good directory thrown away. */
const newerThan = (pattern: RegExp) => (error: unknown) =>
  error instanceof DataDirectoryError &&
  pattern.test(error.message) &&
  /format version 2; this RingFS reads version 1: use the newer RingFS/.test(error.message) &&
  !/damaged|backup/.test(error.message);

describe('what a newer RingFS has stored is refused, and left as it is', () => {
  it('a Raft log', async () => {
    const storage = await stoppedServer();
    const identity = decodeIdentity(unseal(IDENTITY_KEY, storage.logRows.getSync(IDENTITY_KEY)!));
    const newer = seal(IDENTITY_KEY, encodeIdentity({ ...identity, formatVersion: 2 }));
    storage.logRows.writeSync([{ type: 'put', key: IDENTITY_KEY, value: newer }]);
    const before = storage.logRows.dumpSync();
    await assert.rejects(start(storage), newerThan(/^memory has/));
    assert.deepEqual(storage.logRows.dumpSync(), before);
  });

  it('a state', async () => {
    const storage = await stoppedServer();
    const state = await storage.openState('state-1');
    const row = CLUSTER.decode((await state.get(CLUSTER_KEY))!);
    const value = CLUSTER.encode({ ...row, formatVersion: 2 });
    await state.write([{ type: 'put', key: CLUSTER_KEY, value }], { sync: true });
    await assert.rejects(start(storage), newerThan(/^the namespace in memory has/));
    await state.write([{ type: 'put', key: CLUSTER_KEY, value: CLUSTER.encode(row) }], { sync: true });
    await start(storage);
  });

  it('a snapshot that a newer leader sends', async () => {
    const cluster = new ReplicaCluster({ ids: ['s1'], storage: async () => new MemoryMetaStorage() });
    const replica = await cluster.start('s1' as ServerId);
    const snapshot = streamOf([], { formatVersion: 2, clusterId: CLUSTER_ID, term: 9 });
    await assert.rejects(
      replica.onSnapshot(snapshot),
      (error: unknown) =>
        error instanceof SnapshotRefusedError &&
        /format version 2; this RingFS reads version 1/.test(error.message),
    );
    await cluster.stopAll();
  });

  it('a segment of blocks, which is not taken for a damaged one', async () => {
    const fixture = await SegmentFixture.make();
    try {
      const store = await fixture.open();
      await store.put('ab'.repeat(32) as Parameters<typeof store.put>[0], new Uint8Array(10));
      await store.close();
      const file = fixture.path(1);
      const bytes = readFileSync(file);
      bytes.writeUInt32LE(2, 4);
      writeFileSync(file, bytes);
      const damaged = await fixture.open().then(
        (opened) => opened.close().then(() => 'opened'),
        (error: Error) => error.message,
      );
      assert.doesNotMatch(
        damaged,
        /format version/,
        'a header with a wrong checksum is damaged, whatever it says',
      );
      bytes.writeUInt32LE(crc32c(bytes.subarray(0, 252)), 252);
      writeFileSync(file, bytes);
      await assert.rejects(
        fixture.open(),
        (error: unknown) =>
          error instanceof BlockStoreError &&
          /segment 1 has format version 2; this RingFS reads version 1: use the newer/.test(error.message),
      );
      assert.deepEqual(readFileSync(file), bytes);
    } finally {
      await fixture.cleanup();
    }
  });

  it('the identity of a data directory, and a local cluster, whatever else is in the file', () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'ringfs-versions-'));
    try {
      claimDataDirectory(dir, { clusterId: 'c', serverId: 's1' });
      const newer = JSON.stringify({ format: 3, somethingElse: true });
      writeFileSync(path.join(dir, 'ringfs.json'), newer);
      const refused = cliError(
        /ringfs\.json has format version 3; this RingFS reads versions 1 to 2\n.*newer RingFS/,
      );
      assert.throws(() => claimDataDirectory(dir, { clusterId: 'c', serverId: 's1' }), refused);
      assert.throws(() => storedIdentity(dir), refused);
      writeCluster(dir, { clusterId: 'c', replicas: 1, servers: [{ id: 's1', address: 'a:1' }] });
      writeFileSync(path.join(dir, 'cluster.json'), newer);
      assert.throws(() => readCluster(dir), cliError(/cluster\.json has format version 3.*\n.*newer RingFS/));
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});
