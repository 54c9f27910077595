import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { CliError } from '../../../src/cli/cli-error.ts';
import { optionsOf, serveUntil } from '../../../src/cli/commands/server.ts';
import { SERVER_SETTINGS } from '../../../src/cli/commands/server-settings.ts';
import { upOptions } from '../../../src/cli/commands/up-options.ts';
import { replicasMismatch } from '../../../src/cli/server/block-role.ts';
import { claimDataDirectory, recordFounders, storedIdentity } from '../../../src/cli/server/identity.ts';
import { resolveSettings } from '../../../src/cli/settings.ts';
import { REPLICAS_MAX } from '../../../src/cli/values.ts';
import { RaftStatus, ServerStatus } from '../../../src/gen/ringfs/v1/admin.ts';
import { RecordingLogger } from '../../support/recording-logger.ts';

let dir = '';
beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'ringfs-server-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

/** What a server has left that took part in a cluster. */
function makeUsed(clusterId: string, serverId: string): void {
  recordFounders(dir, claimDataDirectory(dir, { clusterId, serverId }), {});
  mkdirSync(path.join(dir, 'meta', 'log'), { recursive: true });
}

const options = (flags: Record<string, string>) =>
  optionsOf(resolveSettings(SERVER_SETTINGS, { id: 's1', listen: 'h1:1', data: dir, ...flags }, {}), '1');

describe('the cluster of a server', () => {
  it('is made from its peers, and stays when one of them moves', async () => {
    const first = await options({ peers: 's2=h2:1,s1=h1:1' });
    assert.equal(first.clusterId, 's1=h1:1,s2=h2:1');
    makeUsed(first.clusterId, 's1');
    const moved = await options({ peers: 's1=h1:1,s2=h9:1' });
    assert.equal(moved.clusterId, first.clusterId);
    claimDataDirectory(dir, { clusterId: moved.clusterId, serverId: 's1' });
  });

  it('may be named otherwise as long as nothing came of it', async () => {
    const wrong = await options({ peers: 's1=h1:1,s2=h2:1' });
    const before = claimDataDirectory(dir, { clusterId: wrong.clusterId, serverId: 's1' });
    const right = await options({ peers: 's1=h1:1,s3=h3:1' });
    assert.equal(right.clusterId, 's1=h1:1,s3=h3:1');
    const after = claimDataDirectory(dir, { clusterId: right.clusterId, serverId: 's1' });
    assert.notEqual(after.instanceId, before.instanceId);
  });

  it('is the one that is named, which must be that of the data directory', async () => {
    makeUsed('old', 's1');
    const { clusterId } = await options({ peers: 's1=h1:1', clusterId: 'new' });
    assert.equal(clusterId, 'new');
    assert.throws(() => claimDataDirectory(dir, { clusterId, serverId: 's1' }), CliError);
  });

  it('of a damaged directory is not guessed, nor is a start without memory advised', async () => {
    assert.equal(storedIdentity(dir), undefined);
    writeFileSync(path.join(dir, 'ringfs.json'), '{');
    await assert.rejects(
      options({ peers: 's1=h1:1' }),
      (error) => error instanceof CliError && /restore it from a backup; do not/.test(error.hint ?? ''),
    );
  });
});

interface Told {
  readonly clusterId: string;
  readonly voters: readonly string[];
  readonly learners?: readonly string[];
  readonly leader?: string;
  /** What the one that answers, which leads, knows that learners have. */
  readonly progress?: Record<string, number>;
}

describe('a server that joins', () => {
  const NO_RAFT = RaftStatus.decode(new Uint8Array(0));
  const NO_STATUS = ServerStatus.decode(new Uint8Array(0));
  function statusOf(address: string, told: Told): ServerStatus {
    const { clusterId, voters, learners = [], leader = '', progress } = told;
    const peers = Object.entries(progress ?? {}).map(([id, matchIndex]) => ({
      id,
      matchIndex,
      state: 'probe',
      recentlyActive: false,
    }));
    const raft = {
      ...NO_RAFT,
      role: progress === undefined ? 'follower' : 'leader',
      leaderId: leader,
      voters: [...voters],
      learners: [...learners],
      peers,
    };
    const metaMembers = [...voters, ...learners].map((id) => ({ id, address: `h${id.slice(1)}:1` }));
    return { ...NO_STATUS, address, clusterId, raft, metaMembers };
  }
  const join = (statuses: Record<string, Told>, flags = {}) =>
    optionsOf(
      resolveSettings(
        SERVER_SETTINGS,
        { id: 's4', listen: 'h4:1', data: dir, join: 'h1:1,h2:1', ...flags },
        {},
      ),
      '1',
      async (address) => {
        const found = statuses[address];
        if (found === undefined) throw new Error(`${address}: refused`);
        return statusOf(address, found);
      },
    );
  const refused = (pattern: RegExp, promise: Promise<unknown>) =>
    assert.rejects(promise, (error) => error instanceof CliError && pattern.test(error.message));
  const voters = ['s1', 's2', 's3'];

  it('learns of the cluster from whoever answers', async () => {
    const options = await join({ 'h2:1': { clusterId: 'c', voters } });
    assert.equal(options.clusterId, 'c');
    assert.deepEqual(options.peers, []);
    assert.deepEqual(options.contacts, ['h1:1', 'h2:1']);
    assert.equal(options.advertise, 'h4:1');
  });

  it('asks nobody once it has been there, nor as a block node once its directory says where it belongs', async () => {
    claimDataDirectory(dir, { clusterId: 'c', serverId: 's4' });
    await refused(/no server of --join answers/, join({}));
    makeUsed('c', 's4');
    assert.equal((await join({})).clusterId, 'c');
    rmSync(path.join(dir, 'meta'), { recursive: true });
    await refused(/no server of --join answers/, join({}));
    assert.equal((await join({}, { roles: 'block' })).clusterId, 'c');
  });

  it('does not start when nobody answers, between two clusters, or as a founder too', async () => {
    await refused(/no server of --join answers \(h1:1: refused; h2:1: refused\)/, join({}));
    await refused(
      /two clusters/,
      join({ 'h1:1': { clusterId: 'c', voters }, 'h2:1': { clusterId: 'd', voters } }),
    );
    await refused(/--peers begins a new cluster/, join({}, { peers: 's4=h4:1' }));
    await refused(
      /the cluster 'c', and this server is one of 'd'/,
      join({ 'h1:1': { clusterId: 'c', voters } }, { clusterId: 'd' }),
    );
  });

  it('does not start as a voter that has lost its data, whatever its directory and its flags say of the cluster', async () => {
    const known = { 'h1:1': { clusterId: 'c', voters } };
    await refused(/has a member s1 already/, join(known, { id: 's1' }));
    await refused(/has a member s1 already/, join(known, { id: 's1', clusterId: 'c' }));
    makeUsed('c', 's1');
    rmSync(path.join(dir, 'meta'), { recursive: true });
    await refused(/has a member s1 already/, join(known, { id: 's1' }));
    assert.equal((await join({ 'h1:1': { clusterId: 'c', voters: ['s2'] } }, { id: 's1' })).clusterId, 'c');
  });

  it('may have been added before its first start, but not be a learner that has lost its data', async () => {
    const learners = ['s4'];
    const follower = { clusterId: 'c', voters, learners, leader: 's3' };
    const leader = (matchIndex: number): Told => ({ ...follower, progress: { s4: matchIndex } });
    await refused(/its leader.*does not answer/, join({ 'h1:1': follower }));
    await refused(/its leader.*does not answer/, join({ 'h1:1': follower, 'h3:1': follower }));
    await refused(/has a member s4 already/, join({ 'h1:1': follower, 'h3:1': leader(7) }));
    assert.equal((await join({ 'h1:1': follower, 'h3:1': leader(0) })).clusterId, 'c');
    assert.equal((await join({ 'h2:1': leader(0) })).clusterId, 'c');
  });
});

describe('copies of each block', () => {
  it('have the same limit for up and for a server', async () => {
    const most = String(REPLICAS_MAX);
    const tooMany = String(REPLICAS_MAX + 1);
    const up = (replicas: string) =>
      upOptions({ data: dir, driver: 'auto', logLevel: 'info', nodes: '50', replicas }, () => 'c');
    assert.equal(up(most).cluster.replicas, REPLICAS_MAX);
    assert.equal((await options({ peers: 's1=h1:1', replicas: most })).replicas, REPLICAS_MAX);
    assert.throws(() => up(tooMany), CliError);
    await assert.rejects(async () => options({ peers: 's1=h1:1', replicas: tooMany }), CliError);
  });

  it('must be as many as the cluster keeps', () => {
    assert.equal(replicasMismatch(3, 3), undefined);
    assert.equal(replicasMismatch(3, 0), undefined, 'not known yet');
    assert.match(replicasMismatch(2, 3) ?? '', /--replicas is 2, but the cluster keeps 3/);
  });
});

describe('the end of a server', () => {
  const forever = new Promise<string>(() => {});

  it('is a success when it was told to stop', async () => {
    let stopped = 0;
    const server = { failed: forever, stop: async () => void stopped++ };
    await serveUntil(server, Promise.resolve('SIGTERM'), { id: 's1', logger: new RecordingLogger() });
    assert.equal(stopped, 1);
  });

  it('is a failure, in the log and in its status, when it cannot go on', async () => {
    const logger = new RecordingLogger();
    const stop = (): Promise<void> => Promise.reject(new Error('disk'));
    const server = { failed: Promise.resolve('the disk is gone'), stop };
    await assert.rejects(
      serveUntil(server, forever, { id: 's1', logger }),
      (error) => error instanceof CliError && error.exitCode === 1 && /the disk is gone/.test(error.message),
    );
    assert.ok(logger.has('this server cannot go on and ends'));
  });
});
