import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { CliError } from '../../../src/cli/cli-error.ts';
import { saveCluster, type UpFlags, upOptions } from '../../../src/cli/commands/up-options.ts';
import { readCluster, readRun, removeRun, runningProcesses, writeRun } from '../../../src/cli/run-state.ts';
import { claimDataDirectory, recordFounders, storedIdentity } from '../../../src/cli/server/identity.ts';
import { cliError } from '../../support/cli-errors.ts';

let dir = '';
beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'ringfs-data-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

describe('options of ringfs up', () => {
  const flags = (more: Partial<UpFlags> = {}): UpFlags => ({
    data: dir,
    driver: 'auto',
    logLevel: 'info',
    ...more,
  });
  const options = (more: Partial<UpFlags> = {}) => upOptions(flags(more), () => 'new-id');

  it('make a cluster of three, on the loopback interface only', () => {
    const { cluster, mount, mountIsDefault, data } = options();
    assert.deepEqual(cluster, {
      format: 1,
      clusterId: 'new-id',
      replicas: 3,
      servers: [7400, 7401, 7402].map((port, i) => ({ id: `s${i + 1}`, address: `127.0.0.1:${port}` })),
    });
    assert.equal(data, dir);
    assert.equal(mount, path.join(dir, 'mnt'));
    assert.ok(mountIsDefault);
    assert.equal(options({ mount: '/mnt/x' }).mountIsDefault, false);
  });

  it('have as many replicas as servers when there are few', () => {
    assert.equal(options({ nodes: '2' }).cluster.replicas, 2);
    assert.equal(options({ nodes: '7' }).cluster.replicas, 3);
    assert.equal(options({ nodes: '20', replicas: '16' }).cluster.replicas, 16);
  });

  it('use ports up to the last', () => {
    const { servers } = options({ basePort: '65533' }).cluster;
    assert.equal(servers.at(-1)?.address, '127.0.0.1:65535');
  });

  for (const [more, pattern] of [
    [{ nodes: '0' }, /--nodes: '0'/],
    [{ nodes: '100' }, /--nodes: '100'/],
    [{ nodes: '0x3' }, /--nodes/],
    [{ nodes: '2', replicas: '3' }, /--replicas 3 needs at least as many nodes; there are 2/],
    [{ nodes: '20', replicas: '17' }, /--replicas: '17'/],
    [{ basePort: '65534' }, /--base-port/],
    [{ basePort: '0' }, /--base-port/],
    [{ driver: 'floppy' }, /--driver/],
  ] as const) {
    it(`refuse ${JSON.stringify(more)}`, () => assert.throws(() => options(more), cliError(pattern, 2)));
  }

  it('are remembered, and may not contradict what is there', () => {
    saveCluster(options({ nodes: '4', replicas: '2', basePort: '9000' }));
    const again = upOptions(flags(), () => 'another-id').cluster;
    assert.equal(again.clusterId, 'new-id');
    assert.equal(again.replicas, 2);
    assert.equal(again.servers.length, 4);
    assert.equal(again.servers[0]?.address, '127.0.0.1:9000');
    assert.deepEqual(options({ nodes: '4', replicas: '2' }).cluster, again);
    assert.throws(() => options({ nodes: '3' }), cliError(/4 servers, not 3[\s\S]*--data/));
    assert.throws(() => options({ replicas: '3' }), cliError(/2 replicas, not 3/));
    const moved = options({ basePort: '9100' }).cluster;
    assert.equal(moved.clusterId, 'new-id');
    assert.equal(moved.servers[3]?.address, '127.0.0.1:9103');
  });

  it('refuse a file of the cluster that is damaged or of another version', () => {
    const file = path.join(dir, 'cluster.json');
    for (const [text, pattern] of [
      ['{', /cluster\.json is damaged[\s\S]*another --data/],
      ['{"format":1}', /cluster\.json is damaged/],
      ['{"format":1,"clusterId":"c","replicas":3,"servers":[]}', /cluster\.json is damaged/],
      ['{"format":2,"clusterId":"c"}', /version 2.*version 1[\s\S]*newer RingFS/],
      ['null', /cluster\.json is damaged/],
    ] as const) {
      writeFileSync(file, text);
      assert.throws(() => readCluster(dir), cliError(pattern), text);
    }
  });
});

describe('the record of running processes', () => {
  const run = (pid: number) => ({
    pid,
    mount: '/mnt',
    mountPid: 0,
    driver: 'auto',
    servers: [{ id: 's1', address: 'h:1', pid }],
  });

  it('is written whole, read back, and removed', () => {
    assert.equal(readRun(dir), undefined);
    writeRun(dir, run(process.pid));
    const found = readRun(dir);
    assert.equal(found?.servers[0]?.pid, process.pid);
    assert.deepEqual(readdirSync(dir), ['run.json']);
    removeRun(dir);
    removeRun(dir);
    assert.equal(readRun(dir), undefined);
  });

  it('does not take a process of another program, or one that started later under the same id, for ours', async () => {
    writeRun(dir, run(process.pid)); // this is node, but not ringfs
    assert.deepEqual(runningProcesses(readRun(dir) ?? assert.fail()), []);

    const main = path.join(dir, 'dist', 'src', 'cli', 'main.js');
    mkdirSync(path.dirname(main), { recursive: true });
    writeFileSync(main, 'console.log("up"); setInterval(() => {}, 1000);');
    const child = spawn(process.execPath, [main], { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      await new Promise((resolve) => child.stdout.once('data', resolve));
      const pid = child.pid ?? assert.fail();
      writeRun(dir, run(pid));
      const recorded = readRun(dir) ?? assert.fail();
      assert.deepEqual(runningProcesses(recorded), [pid, pid]);
      if (process.platform !== 'linux') return;
      const ticks = recorded.startTicks[pid] ?? assert.fail();
      assert.deepEqual(runningProcesses({ ...recorded, startTicks: { [pid]: ticks - 1 } }), []);
    } finally {
      child.kill('SIGKILL');
    }
  });

  it('says what to do when it is damaged', () => {
    writeFileSync(path.join(dir, 'run.json'), '{"pid":0}');
    assert.throws(() => readRun(dir), cliError(/run\.json is damaged[\s\S]*delete it/));
  });
});

describe('the identity of a data directory', () => {
  it('with any bit of it flipped is refused, or still the same', () => {
    const identity = { clusterId: 'cluster', serverId: 's1' };
    claimDataDirectory(dir, identity);
    const file = path.join(dir, 'ringfs.json');
    const good = readFileSync(file);
    let refused = 0;
    for (let bit = 0; bit < 8 * good.length; bit++) {
      const bad = Buffer.from(good);
      bad[bit >> 3]! ^= 1 << (bit & 7);
      writeFileSync(file, bad);
      try {
        claimDataDirectory(dir, identity);
        assert.deepEqual(JSON.parse(bad.toString()), JSON.parse(good.toString()), `bit ${bit}`);
      } catch (error) {
        assert.ok(error instanceof CliError && error.hint !== undefined, `bit ${bit}: ${String(error)}`);
        refused++;
      }
    }
    assert.ok(refused > 6 * good.length);
  });

  const identity = { clusterId: 'c1', serverId: 's1' };

  it('is claimed once, also where other files are, and then checked', () => {
    const data = path.join(dir, 'new', 's1');
    claimDataDirectory(data, identity);
    claimDataDirectory(data, identity);
    const stored = JSON.parse(readFileSync(path.join(data, 'ringfs.json'), 'utf8')) as Record<
      string,
      unknown
    >;
    const { instanceId, checksum, ...rest } = stored;
    assert.deepEqual(rest, { format: 2, ...identity });
    assert.match(String(instanceId), /^[0-9a-f]{32}$/);
    assert.match(String(checksum), /^[0-9a-f]{8}$/);
    mkdirSync(path.join(dir, 'lost+found'));
    claimDataDirectory(dir, identity);
  });

  it('keeps other clusters and servers out', () => {
    const { instanceId } = claimDataDirectory(dir, identity);
    mkdirSync(path.join(dir, 'block'));
    assert.equal(claimDataDirectory(dir, identity).instanceId, instanceId);
    assert.throws(
      () => claimDataDirectory(dir, { ...identity, clusterId: 'c2' }),
      cliError(/belongs to the cluster 'c1', not to 'c2'/),
    );
    assert.throws(
      () => claimDataDirectory(dir, { ...identity, serverId: 's2' }),
      cliError(/belongs to the server 's1', not to 's2'/),
    );
  });

  it('is not made up for data that has lost it', () => {
    mkdirSync(path.join(dir, 'meta'));
    assert.throws(() => claimDataDirectory(dir, identity), cliError(/ringfs\.json.*is missing[\s\S]*backup/));
  });

  it('is refused when it is damaged or of another version', () => {
    const file = path.join(dir, 'ringfs.json');
    for (const [text, pattern] of [
      ['', /ringfs\.json is damaged/],
      ['{"format":1}', /ringfs\.json is damaged/],
      ['{"format":2,"clusterId":"c1","serverId":"s1"}', /ringfs\.json is damaged/],
      ['{"format":3,"clusterId":"c1","serverId":"s1"}', /version 3[\s\S]*newer/],
      ['{"format":0,"clusterId":"c1","serverId":"s1"}', /version 0[\s\S]*upgrade/],
    ] as const) {
      writeFileSync(file, text);
      assert.throws(() => claimDataDirectory(dir, identity), cliError(pattern), text);
    }
  });

  it('that was only claimed may be given to another server, which is another instance', () => {
    const first = claimDataDirectory(dir, identity);
    const second = claimDataDirectory(dir, { ...identity, serverId: 's2' });
    assert.notEqual(second.instanceId, first.instanceId);
    assert.deepEqual(storedIdentity(dir), second);
  });

  it('of the version before is read as it is', () => {
    writeFileSync(path.join(dir, 'ringfs.json'), JSON.stringify({ format: 1, ...identity }));
    const found = claimDataDirectory(dir, identity);
    assert.deepEqual(found, { ...identity, instanceId: undefined, founders: undefined });
    assert.throws(
      () => claimDataDirectory(dir, { ...identity, serverId: 's2' }),
      cliError(/'s1', not to 's2'/),
    );
    const founders = { s1: 'a' };
    const recorded = recordFounders(dir, found, founders);
    assert.deepEqual(storedIdentity(dir), recorded);
    assert.equal(recorded.founders, founders);
  });
});
