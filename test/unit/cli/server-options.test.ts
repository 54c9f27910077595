import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { CliError } from '../../../src/cli/cli-error.ts';
import { optionsOf, serveUntil } from '../../../src/cli/commands/server.ts';
import { SERVER_SETTINGS } from '../../../src/cli/commands/server-settings.ts';
import { upOptions } from '../../../src/cli/commands/up-options.ts';
import { claimDataDirectory, storedIdentity } from '../../../src/cli/identity.ts';
import { replicasMismatch } from '../../../src/cli/server-process.ts';
import { resolveSettings } from '../../../src/cli/settings.ts';
import { REPLICAS_MAX } from '../../../src/cli/values.ts';
import { RaftStatus, ServerStatus } from '../../../src/gen/ringfs/v1/admin.ts';
import { RecordingLogger } from '../../support/recording-logger.ts';

let dir = '';
beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'ringfs-server-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

const options = (flags: Record<string, string>) =>
  optionsOf(resolveSettings(SERVER_SETTINGS, { id: 's1', listen: 'h1:1', data: dir, ...flags }, {}), '1');

describe('the cluster of a server', () => {
  it('is made from its peers, and stays when one of them moves', async () => {
    const first = await options({ peers: 's2=h2:1,s1=h1:1' });
    assert.equal(first.clusterId, 's1=h1:1,s2=h2:1');
    claimDataDirectory(dir, { clusterId: first.clusterId, serverId: 's1' });
    const moved = await options({ peers: 's1=h1:1,s2=h9:1' });
    assert.equal(moved.clusterId, first.clusterId);
    claimDataDirectory(dir, { clusterId: moved.clusterId, serverId: 's1' });
  });

  it('is the one that is named, which must be that of the data directory', async () => {
    claimDataDirectory(dir, { clusterId: 'old', serverId: 's1' });
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

describe('a server that joins', () => {
  const join = (statuses: Record<string, { clusterId: string; voters: string[] }>, flags = {}) =>
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
        const { clusterId, voters } = found;
        const raft = RaftStatus.decode(RaftStatus.encode({ ...NO_RAFT, voters }).finish());
        return { ...ServerStatus.decode(new Uint8Array(0)), address, clusterId, raft };
      },
    );
  const NO_RAFT = RaftStatus.decode(new Uint8Array(0));
  const voters = ['s1', 's2', 's3'];

  it('learns of the cluster from whoever answers', async () => {
    const options = await join({ 'h2:1': { clusterId: 'c', voters } });
    assert.equal(options.clusterId, 'c');
    assert.deepEqual(options.peers, []);
    assert.deepEqual(options.contacts, ['h1:1', 'h2:1']);
    assert.equal(options.advertise, 'h4:1');
  });

  it('asks nobody once its directory says where it belongs', async () => {
    claimDataDirectory(dir, { clusterId: 'c', serverId: 's4' });
    assert.equal((await join({})).clusterId, 'c');
  });

  it('does not start when nobody answers, between two clusters, without the data of a voter, or as a founder too', async () => {
    const refused = (pattern: RegExp, promise: Promise<unknown>) =>
      assert.rejects(promise, (error) => error instanceof CliError && pattern.test(error.message));
    await refused(/no server of --join answers \(h1:1: refused; h2:1: refused\)/, join({}));
    await refused(
      /two clusters/,
      join({ 'h1:1': { clusterId: 'c', voters }, 'h2:1': { clusterId: 'd', voters } }),
    );
    await refused(/has a member s1 already/, join({ 'h1:1': { clusterId: 'c', voters } }, { id: 's1' }));
    await refused(/--peers begins a new cluster/, join({}, { peers: 's4=h4:1' }));
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
