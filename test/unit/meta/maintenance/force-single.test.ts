import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ServerId } from '../../../../src/base/ids.ts';
import { listSessions } from '../../../../src/core/namespace/read.ts';
import { MaintenanceError } from '../../../../src/meta/maintenance/errors.ts';
import { forceSingleMember, surveySurvivor } from '../../../../src/meta/maintenance/force-single.ts';
import { DataDirectoryError } from '../../../../src/meta/raft/errors.ts';
import { entryKey } from '../../../../src/meta/raft/log-codec.ts';
import { MemoryMetaStorage } from '../../../support/memory-meta-storage.ts';
import { RecordingLogger } from '../../../support/recording-logger.ts';
import { openSessionCommand, ReplicaCluster } from '../../../support/replica-cluster.ts';

/** A cluster whose servers may all die at any time. */
class Doomed {
  readonly storages = new Map<string, MemoryMetaStorage>();
  readonly cluster = new ReplicaCluster({ storage: async (id) => this.storage(id) });

  storage(id: string): MemoryMetaStorage {
    const storage = this.storages.get(id) ?? new MemoryMetaStorage();
    this.storages.set(id, storage);
    return storage;
  }

  async propose(from: number, count: number): Promise<void> {
    const leader = await this.cluster.elect();
    const all = Array.from({ length: count }, (_, i) => leader.propose(openSessionCommand(from + i)));
    await this.cluster.during(Promise.all(all), 'proposals');
  }

  kill(id: ServerId): void {
    this.storage(id).kill();
    this.cluster.abandon(id);
  }
}

const logger = new RecordingLogger();

describe('a cluster that lost its majority', () => {
  it('goes on from one server with all that it had, and takes in new ones', async () => {
    const doomed = new Doomed();
    const { cluster } = doomed;
    await cluster.startAll();
    await doomed.propose(0, 20);
    const survivor = (await cluster.elect()).id;
    for (const id of cluster.ids) doomed.kill(id);
    const storage = doomed.storage(survivor);
    const before = await surveySurvivor(storage, logger);
    assert.deepEqual(before.confState.voters, ['s1', 's2', 's3']);
    assert.equal(before.serverId, survivor);
    const forced = await forceSingleMember(storage, logger);
    assert.deepEqual(forced, before);
    const after = await surveySurvivor(storage, logger);
    assert.deepEqual(
      [after.confState.voters, after.confState.addresses],
      [[survivor], [{ id: survivor, address: `${survivor}:1` }]],
    );
    assert.equal(after.term, before.term + 1);

    const replica = await cluster.start(survivor);
    const leader = await cluster.elect();
    assert.equal(leader, replica);
    assert.equal((await listSessions(leader.state)).length, 20, 'what was acknowledged is there');
    await doomed.propose(100, 5);
    const [lost] = cluster.ids.filter((id) => id !== survivor);
    await cluster.during(
      leader.changeMembers({ $case: 'add', value: { id: 's9', address: 's9:1', learner: false } }),
      's9',
    );
    const added = await cluster.start('s9' as ServerId);
    await cluster.until(() => added.status().voters.includes('s9'), 's9 votes');
    await cluster.untilCaughtUp();
    assert.equal((await listSessions(added.state)).length, 25);
    assert.ok(!added.status().voters.includes(lost!));
    await cluster.stopAll();
  });

  it('keeps what was only known to be appended, and drops changes of membership that had not taken effect', async () => {
    const doomed = new Doomed();
    const { cluster } = doomed;
    await cluster.startAll();
    await doomed.propose(0, 5);
    await cluster.untilCaughtUp();
    const leader = await cluster.elect();
    for (const id of cluster.ids) if (id !== leader.id) doomed.kill(id);
    const last = leader.status().lastIndex;
    const hopeless = [
      leader.propose(openSessionCommand(50)),
      leader.changeMembers({
        $case: 'remove',
        value: { id: cluster.ids.find((id) => id !== leader.id)!, force: true },
      }),
    ];
    for (const each of hopeless) each.catch(() => undefined);
    await cluster.settle();
    assert.equal(leader.status().lastIndex, last + 2);
    doomed.kill(leader.id);
    const storage = doomed.storage(leader.id);
    const survivor = await forceSingleMember(storage, logger);
    assert.deepEqual(
      [survivor.commit, survivor.last.index, survivor.pendingConfChanges],
      [last, last + 2, [last + 2]],
    );
    assert.deepEqual(
      await forceSingleMember(storage, logger).then((s) => s.pendingConfChanges),
      [],
      'it may be repeated',
    );
    const replica = await cluster.start(leader.id);
    await cluster.elect();
    assert.deepEqual(replica.status().voters, [leader.id]);
    assert.equal(
      (await listSessions(replica.state)).length,
      6,
      'the entry that nobody had acknowledged is kept',
    );
    await cluster.stopAll();
  });

  it('survives a crash between the two steps of it', async () => {
    const doomed = new Doomed();
    const { cluster } = doomed;
    await cluster.startAll();
    await doomed.propose(0, 5);
    const survivor = (await cluster.elect()).id;
    for (const id of cluster.ids) doomed.kill(id);
    const storage = doomed.storage(survivor);
    // The first write is the log's, the second one the state's.
    let writes = 0;
    const dying = new Proxy(storage, {
      get: (target, key): unknown => {
        if (key === 'openState') {
          return async (name: string) => {
            const kv = await target.openState(name);
            const write: typeof kv.write = async () => {
              writes++;
              throw new Error('died');
            };
            return new Proxy(kv, { get: (t, k): unknown => (k === 'write' ? write : bound(t, k)) });
          };
        }
        return bound(target, key);
      },
    });
    await assert.rejects(forceSingleMember(dying, logger), /died/);
    assert.equal(writes, 1);
    assert.deepEqual((await surveySurvivor(storage, logger)).confState.voters, ['s1', 's2', 's3']);
    await forceSingleMember(storage, logger);
    assert.deepEqual((await surveySurvivor(storage, logger)).confState.voters, [survivor]);
  });

  it('is not recovered from a server that has nothing, is damaged, or never voted', async () => {
    await assert.rejects(
      surveySurvivor(new MemoryMetaStorage(), logger),
      (error: unknown) => error instanceof MaintenanceError && /holds nothing/.test(error.message),
    );
    const doomed = new Doomed();
    const { cluster } = doomed;
    await cluster.startAll();
    await doomed.propose(0, 5);
    const leader = await cluster.elect();
    await cluster.during(
      leader.changeMembers({ $case: 'add', value: { id: 's4', address: 's4:1', learner: true } }),
      's4',
    );
    await cluster.start('s4' as ServerId);
    await cluster.untilCaughtUp();
    await cluster.stopAll();
    await assert.rejects(
      forceSingleMember(doomed.storage('s4'), logger),
      (error: unknown) => error instanceof MaintenanceError && /s4 is not a voter/.test(error.message),
    );
    doomed.storage('s1').logRows.writeSync([{ type: 'del', key: entryKey(3) }]);
    await assert.rejects(forceSingleMember(doomed.storage('s1'), logger), DataDirectoryError);
  });
});

function bound(target: object, key: string | symbol): unknown {
  const value: unknown = Reflect.get(target, key);
  return typeof value === 'function' ? (value as (...args: unknown[]) => unknown).bind(target) : value;
}
