import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { defined } from '../../src/base/assert.ts';
import { type Finished, freePorts, ringfs, TestCluster } from '../support/test-cluster.ts';

function refuses(result: Finished, status: number, pattern: RegExp): void {
  assert.match(result.stderr, pattern);
  assert.doesNotMatch(result.stderr, /\n\s+at /, 'a stack is not a message');
  assert.equal(result.status, status, result.stderr);
}

describe('bad input', () => {
  let root = '';
  const dir = (name: string): string => path.join(root, name);
  before(() => {
    root = mkdtempSync(path.join(tmpdir(), 'ringfs-bad-'));
  });
  after(() => rmSync(root, { recursive: true, force: true }));

  it('help and version exist everywhere, on standard output, with status 0', () => {
    assert.match(ringfs('--version').stdout, /^\d+\.\d+\.\d+\n$/);
    for (const command of ['up', 'down', 'server', 'mount', 'umount', 'status']) {
      const help = ringfs(command, '--help');
      assert.equal(help.status, 0);
      assert.match(help.stdout, new RegExp(`Usage: ringfs ${command}`));
    }
  });

  it('unknown commands, flags and values', () => {
    refuses(ringfs('mnt'), 2, /unknown command 'mnt'/);
    refuses(ringfs('up', '--nods', '3'), 2, /unknown option '--nods'/);
    refuses(
      ringfs('up', '--nodes', 'three', '--data', dir('d')),
      2,
      /--nodes: 'three' is not a whole number/,
    );
    refuses(
      ringfs('up', '--replicas', '4', '--data', dir('d')),
      2,
      /--replicas 4 needs at least as many nodes/,
    );
    refuses(ringfs('up', '--driver', 'nfs', '--data', dir('d')), 2, /--driver: 'nfs' is not one of/);
    refuses(ringfs('mount', 'nowhere', root), 2, /'nowhere' is not an address/);
    refuses(ringfs('mount', '127.0.0.1:1', root, '-o', 'colour=red'), 2, /unknown mount option 'colour'/);
  });

  it('a mount point that is missing', () => {
    refuses(ringfs('up', '--data', dir('d'), '--mount', dir('missing')), 1, /does not exist[\s\S]*mkdir/);
    refuses(ringfs('mount', '127.0.0.1:1', dir('missing')), 1, /does not exist[\s\S]*mkdir/);
  });

  it('a mount point that is a file', () => {
    writeFileSync(dir('file'), '');
    refuses(ringfs('up', '--data', dir('d'), '--mount', dir('file')), 1, /not a directory/);
  });

  it('a mount point that is not empty', () => {
    mkdirSync(dir('full'));
    writeFileSync(dir('full/x'), '');
    refuses(ringfs('up', '--data', dir('d'), '--mount', dir('full')), 1, /not empty/);
  });

  it('a port in use', async () => {
    const port = await freePorts(3);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(port + 1, '127.0.0.1', resolve));
    mkdirSync(dir('m'));
    const result = ringfs('up', '--data', dir('d'), '--mount', dir('m'), '--base-port', String(port));
    server.close();
    refuses(result, 1, new RegExp(`port ${port + 1} .*in use[\\s\\S]*--base-port`));
  });

  it('an unknown key in a config file', () => {
    writeFileSync(dir('config.yaml'), 'id: s1\nlissten: 127.0.0.1:7400\n');
    refuses(ringfs('server', '--config', dir('config.yaml')), 2, /unknown key 'lissten'[\s\S]*'listen'/);
  });

  it('a server without what it needs', () => {
    refuses(ringfs('server'), 2, /--id/);
    refuses(
      ringfs(
        'server',
        '--id',
        's1',
        '--listen',
        '127.0.0.1:7400',
        '--data',
        dir('s'),
        '--peers',
        's2=127.0.0.1:7401',
      ),
      2,
      /--peers.*s1/,
    );
  });

  it('servers that cannot be reached', async () => {
    const port = await freePorts(1);
    mkdirSync(dir('unreached'));
    const address = `127.0.0.1:${port}`;
    refuses(
      ringfs('mount', address, dir('unreached'), '-o', 'timeout=2'),
      1,
      new RegExp(`${address}[\\s\\S]*`),
    );
    const status = ringfs('status', address);
    refuses(status, 1, /no server answers/);
  });

  it('status and down where there is no cluster', () => {
    refuses(ringfs('status', '--data', dir('none')), 1, /there is no cluster in/);
    assert.match(ringfs('down', '--data', dir('none')).stdout, /nothing is running/);
  });

  it('umount of what is not a RingFS', () => {
    refuses(ringfs('umount', root), 1, /is not mounted/);
    refuses(ringfs('umount', '/proc'), 1, /not a RingFS/);
  });
});

describe('a data directory that does not fit', () => {
  let cluster: TestCluster;
  before(async () => {
    cluster = await TestCluster.start('--nodes', '1');
  });
  after(() => cluster.remove());

  it('a mount point that is already mounted', () => {
    refuses(
      ringfs('mount', defined(cluster.addresses[0], 'address'), cluster.mount),
      1,
      /already a mount point/,
    );
  });

  it('another number of servers, another cluster, another format version', async () => {
    await cluster.stop();
    refuses(
      ringfs('up', '--data', cluster.data, '--mount', cluster.mount, '--nodes', '5'),
      1,
      /holds a cluster of 1 servers/,
    );
    const address = `127.0.0.1:${cluster.basePort}`;
    const server = (...extra: string[]): Finished =>
      ringfs(
        'server',
        '--id',
        's1',
        '--listen',
        address,
        '--peers',
        `s1=${address}`,
        '--data',
        path.join(cluster.data, 's1'),
        ...extra,
      );
    refuses(server('--cluster-id', 'another'), 1, /cluster/);
    const file = path.join(cluster.data, 'cluster.json');
    const original = readFileSync(file, 'utf8');
    writeFileSync(file, original.replace('"format": 1', '"format": 99'));
    refuses(ringfs('up', '--data', cluster.data, '--mount', cluster.mount), 1, /format version 99/);
    writeFileSync(file, '{');
    refuses(ringfs('up', '--data', cluster.data, '--mount', cluster.mount), 1, /damaged/);
    writeFileSync(file, original);
    await cluster.up();
  });
});
