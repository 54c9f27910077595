import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { ServerGroup } from '../support/server-group.ts';
import { type Finished, ringfs, until } from '../support/test-cluster.ts';

describe('the first formation of a cluster', () => {
  let group: ServerGroup;
  before(async () => {
    group = await ServerGroup.make(3);
  });
  after(() => group.close());

  it('waits for a server that is late, says so, and ends when it is told to', async () => {
    const first = group.start('s1');
    const second = group.start('s2');
    await until('both say for whom they wait', () => {
      const { servers } = group.status(['s1', 's2']);
      return servers.every(({ health, detail }) => health === 'starting' && /waits for s3:/.test(detail));
    });
    await until('the log says it too', () => /"id":"s3","why":"it does not answer/.test(first.stderr));
    assert.ok(!first.isReady && !second.isReady);
    assert.deepEqual(readdirSync(group.data('s1')), ['ringfs.json'], 'it has not voted');
    first.child.kill('SIGTERM');
    assert.equal(await first.ended, 0, first.stderr);
  });

  it('goes on when it has come, over a kill -9 of two of them in the middle of it', async () => {
    await group.kill('s2');
    const restarted = (id: string, failpoint: string): Promise<void> => diesAndStarts(id, failpoint);
    const third = group.start('s3');
    await Promise.all([restarted('s1', 'formation-decided'), restarted('s2', 'formation-recorded')]);
    await third.ready();
    await group.healthy();
    const instances = group.founders.map((id) => founders(id));
    assert.deepEqual(instances[1], instances[0]);
    assert.deepEqual(instances[2], instances[0]);
  });

  async function diesAndStarts(id: string, failpoint: string): Promise<void> {
    const dying = group.start(id, { failpoint });
    await dying.ended;
    assert.equal(dying.child.signalCode, 'SIGKILL', `${dying.stdout}${dying.stderr}`);
    await group.start(id).ready();
  }

  function founders(id: string): unknown {
    const stored: unknown = JSON.parse(readFileSync(path.join(group.data(id), 'ringfs.json'), 'utf8'));
    return Object.entries((stored as { founders: Record<string, string> }).founders).sort();
  }

  it('is over: a restart of all waits for nobody', async () => {
    for (const id of group.founders) await group.kill(id);
    const first = group.start('s1');
    await first.ready();
    const second = group.start('s2');
    await second.ready();
    await until('two of three have a leader', () => group.status(['s1', 's2']).leader ?? undefined);
  });
});

describe('a server that has lost its disk', () => {
  let group: ServerGroup;
  let mount = '';
  const contents = new Map<string, Buffer>();
  const left = ['s1', 's3'];

  before(async () => {
    group = await ServerGroup.make(3);
    mount = path.join(group.root, 'mnt');
    mkdirSync(mount);
    const servers = group.founders.map((id) => group.start(id));
    await Promise.all(servers.map((server) => server.ready()));
    await group.healthy();
    done(ringfs('mount', group.addresses(), mount, '-o', `log=${group.root}/mount.log`));
    for (let i = 0; i < 20; i++) {
      const data = randomBytes(40_000);
      contents.set(`f${i}`, data);
      writeFileSync(path.join(mount, `f${i}`), data);
    }
  });
  after(async () => {
    ringfs('umount', '-l', mount);
    await group.close();
  });

  const done = ({ status, stdout, stderr }: Finished): void => assert.equal(status, 0, `${stdout}${stderr}`);
  const servers = (): string[] => ['--servers', group.addresses(left)];

  it('is refused with what to do, also when only its metadata are gone', async () => {
    await group.kill('s2');
    const meta = path.join(group.data('s2'), 'meta');
    renameSync(meta, path.join(group.root, 'meta'));
    const half = group.start('s2');
    assert.equal(await half.ended, 1);
    assert.match(half.stderr, /^ringfs: .* has no metadata any more: server s2 was a member of the cluster/m);
    renameSync(path.join(group.root, 'meta'), meta);
    await group.start('s2').ready();

    await group.wipe('s2');
    const wiped = group.start('s2');
    assert.equal(await wiped.ended, 1);
    assert.match(wiped.stderr, /^ringfs: the cluster exists already \(says s[13] at .*\) and does not know/m);
    assert.match(wiped.stderr, /ringfs cluster remove s2 .*new id with --join .*ringfs cluster add/);
    const joining = group.start('s2', { join: left });
    assert.equal(await joining.ended, 1);
    assert.match(joining.stderr, /^ringfs: the cluster has a member s2 already/m);
  });

  it('is replaced as it was told, in the directory that it has, and its blocks are made again', async () => {
    done(ringfs('cluster', 'remove', 's2', ...servers()));
    const fourth = group.start('s4', { join: left, data: group.data('s2') });
    await fourth.ready();
    done(ringfs('cluster', 'add', `s4=${group.address('s4')}`, ...servers()));
    // It is refused as long as the node may be alive.
    await until('the lost node is removed', () => ringfs('node', 'remove', 's2', ...servers()).status === 0);
    await group.healthy(['s1', 's3', 's4']);
    await until('every block has its copies', () => ringfs('fsck', ...servers()).status === 0);
    for (const [name, data] of contents) assert.deepEqual(readFileSync(path.join(mount, name)), data, name);
    writeFileSync(path.join(mount, 'after'), 'x');
  });

  it('is refused too when it had joined later', async () => {
    await group.kill('s4');
    renameSync(group.data('s2'), path.join(group.root, 'lost'));
    const again = group.start('s4', { join: left });
    assert.equal(await again.ended, 1);
    assert.match(again.stderr, /^ringfs: the cluster has a member s4 already/m);
    // As one of --peers, it asks those that were there at the beginning.
    const asFounder = group.start('s2');
    assert.equal(await asFounder.ended, 1);
    assert.match(asFounder.stderr, /^ringfs: the cluster exists already/m);
    renameSync(path.join(group.root, 'lost'), path.join(group.root, 'found'));
    await group.start('s4', { join: left, data: path.join(group.root, 'found') }).ready();
    writeFileSync(path.join(mount, 'again'), 'x');
  });
});
