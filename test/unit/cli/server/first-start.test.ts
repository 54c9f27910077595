import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { CliError } from '../../../../src/cli/cli-error.ts';
import { FirstStart, type Origin, refusal } from '../../../../src/cli/server/first-start.ts';
import { claimDataDirectory, recordFounders, storedIdentity } from '../../../../src/cli/server/identity.ts';
import { FormationState } from '../../../../src/gen/ringfs/v1/admin.ts';
import { FormationRefusedError } from '../../../../src/meta/formation.ts';
import { RecordingLogger } from '../../../support/recording-logger.ts';
import { VirtualTimers } from '../../../support/virtual-timers.ts';

const IDENTITY = { clusterId: 'c', serverId: 's1' };
const FOUNDERS = { s1: 'i1', s2: 'i2' };
let dir = '';
beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'ringfs-first-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

const makeMetadata = (): void => void mkdirSync(path.join(dir, 'meta', 'log'), { recursive: true });
const makeOld = (): void =>
  writeFileSync(path.join(dir, 'ringfs.json'), JSON.stringify({ format: 1, ...IDENTITY }));

function start(origin: Origin = 'peers', meta = true): FirstStart {
  const peers = origin === 'join' ? [] : ['s2', 's1'].map((id) => ({ id, address: `${id}:1` }));
  return new FirstStart(
    { timers: new VirtualTimers(), logger: new RecordingLogger() },
    { id: 's1', clusterId: 'c', data: dir, peers, meta },
  );
}
const answerOf = (server: FirstStart) => server.answer({ id: 's2', instanceId: 'i2' });
const fails = (): Promise<void> => Promise.reject(new Error('nobody is asked'));

describe('the data directory of a server that is started', () => {
  it('empty: it is forming, as the same instance until it has been recorded', () => {
    const first = start();
    const again = start();
    for (const server of [first, again]) {
      assert.equal(server.restarts, false);
      const { state, instanceId, peers, founders } = answerOf(server);
      assert.deepEqual([state, peers, founders], [FormationState.FORMING, ['s1', 's2'], []]);
      assert.equal(instanceId, storedIdentity(dir)?.instanceId);
    }
    // Killed between making its metadata and recording that it takes part.
    makeMetadata();
    assert.equal(start().restarts, false);
    again.record(FOUNDERS);
    const { state, instanceId, founders } = answerOf(again);
    assert.deepEqual([state, instanceId], [FormationState.FORMED, '']);
    assert.deepEqual(
      founders.map((each) => [each.id, each.instanceId]),
      Object.entries(FOUNDERS),
    );
  });

  it('with its memory: it asks nobody', async () => {
    recordFounders(dir, claimDataDirectory(dir, IDENTITY), FOUNDERS);
    makeMetadata();
    const server = start();
    assert.equal(server.restarts, true);
    assert.deepEqual(await server.founders(fails), FOUNDERS);
  });

  it('without the memory that it had: it does not start, but may join as somebody new', () => {
    const before = recordFounders(dir, claimDataDirectory(dir, IDENTITY), FOUNDERS);
    assert.throws(
      () => start(),
      (error) =>
        error instanceof CliError &&
        /has no metadata any more: server s1 was a member of the cluster 'c'/.test(error.message) &&
        /restore .*meta.*ringfs cluster remove s1 .*--join.*ringfs cluster add/.test(error.hint ?? ''),
    );
    assert.equal(start('join').restarts, false);
    assert.notEqual(storedIdentity(dir)?.instanceId, before.instanceId);
    assert.equal(storedIdentity(dir)?.founders, undefined);
  });

  it('of a version before: it goes on with its metadata, and is forming without', async () => {
    makeOld();
    makeMetadata();
    const server = start();
    assert.equal(server.restarts, true);
    assert.deepEqual(await server.founders(fails), {});
    assert.equal(answerOf(server).state, FormationState.FORMED);
    assert.equal(storedIdentity(dir)?.instanceId, undefined, 'the older version can still read it');
    rmSync(path.join(dir, 'meta'), { recursive: true });
    const without = start();
    assert.equal(without.restarts, false);
    assert.equal(answerOf(without).state, FormationState.FORMING);
    assert.notEqual(answerOf(without).instanceId, '');
  });

  it('of a block node or of a server that joins: it waits for nobody', async () => {
    const block = start('peers', false);
    assert.deepEqual(await block.founders(fails), {});
    assert.equal(answerOf(block).state, FormationState.NO_METADATA);
    const joins = start('join');
    assert.deepEqual(await joins.founders(fails), {});
    assert.deepEqual(answerOf(joins).peers, []);
  });

  it('is told what to do when it is refused', () => {
    const same = refusal('s1', 'c', new FormationRefusedError('s2', 'h2:1', 'c'));
    assert.match(same.message, /the cluster exists already \(says s2 at h2:1\)/);
    assert.match(same.hint ?? '', /ringfs cluster remove s1 .*new id.*--join.*ringfs cluster add/);
    const other = refusal('s1', 'c', new FormationRefusedError('s2', 'h2:1', 'd'));
    assert.match(other.message, /a server of the cluster 'd', not of 'c'/);
    assert.match(other.hint ?? '', /correct --peers or --cluster-id/);
  });
});
