/** Access lists set on one mount are in force on another, with the kernel's caches in use on both. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, it } from 'node:test';
import { ringfs, TestCluster, until } from '../support/test-cluster.ts';
import { execute, shell } from './posix-case.ts';

const ALICE = { uid: 4001, gid: 4001 };

const installed = (await execute('sh', ['-c', 'command -v setfacl'])).code === 0;
const reason = process.getuid?.() !== 0 ? 'needs root' : 'setfacl is not installed';
describe('access lists on two mounts', {
  skip: process.getuid?.() === 0 && installed ? false : reason,
}, () => {
  let cluster: TestCluster;
  let other = '';
  before(async () => {
    cluster = await TestCluster.start();
    other = mkdtempSync(path.join(tmpdir(), 'ringfs-second-'));
    const mounted = ringfs('mount', cluster.addresses.join(','), other);
    assert.equal(mounted.status, 0, mounted.stderr);
  });
  after(async () => {
    const done = ringfs('umount', other);
    rmSync(other, { recursive: true });
    await cluster.remove();
    assert.equal(done.status, 0, done.stderr);
  });

  const mayRead = async (file: string): Promise<boolean> =>
    (await execute('cat', [file], { cwd: other, ...ALICE })).code === 0;

  it('a list set here decides there from the next lookup, again and again', async () => {
    await shell('echo x > f; chmod 600 f', cluster.mount);
    for (let round = 0; round < 10; round++) {
      assert.equal(await mayRead('f'), false);
      await shell('setfacl -m u:4001:r f', cluster.mount);
      assert.equal(await mayRead('f'), true);
      assert.equal((await shell('stat -c %a f', other)).trim(), '640');
      await shell('chmod 600 f', cluster.mount);
      assert.equal(await mayRead('f'), false, 'the mask');
      await shell('setfacl -b f', cluster.mount);
    }
  });

  it('a default list set here is inherited there', async () => {
    await shell('mkdir d; ls d', other);
    await shell('setfacl -d -m u:4001:rwx,o::- d', cluster.mount);
    await shell('umask 077; echo x > d/f', other);
    assert.equal(await mayRead('d/f'), true);
    await shell('setfacl -k d', cluster.mount);
    await shell('umask 077; echo x > d/g', other);
    assert.equal((await shell('stat -c %a d/g', other)).trim(), '600');
  });

  it('a list of the mount point itself is in force there too', async () => {
    await shell('echo x > top', cluster.mount);
    await shell('setfacl -m u:4001:- .', cluster.mount);
    await until('the list refuses', async () => !(await mayRead('top')) || undefined);
    await shell('setfacl -b .', cluster.mount);
    await until('the list is gone', async () => (await mayRead('top')) || undefined);
  });

  it('is noticed by a process that stands in the directory, which looks nothing up', async () => {
    await shell('mkdir w; echo x > w/f; chmod 755 w; chmod 644 w/f', cluster.mount);
    const program = 'while read go; do if cat f > /dev/null 2>&1; then echo yes; else echo no; fi; done';
    const child = spawn('sh', ['-c', program], {
      cwd: path.join(other, 'w'),
      ...ALICE,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    const ask = async (): Promise<string> => {
      child.stdin.write('go\n');
      return (await lines.next()).value as string;
    };
    assert.equal(await ask(), 'yes');
    await shell('setfacl -m u:4001:- w', cluster.mount);
    await until('the list refuses', async () => (await ask()) === 'no' || undefined);
    await shell('setfacl -m u:4001:x w', cluster.mount);
    await until('the list allows', async () => (await ask()) === 'yes' || undefined);
    child.stdin.end();
    await once(child, 'close');
  });
});
