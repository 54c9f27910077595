import assert from 'node:assert/strict';
import {
  closeSync,
  fstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { ringfs, TestCluster, until } from '../support/test-cluster.ts';

/** The process that serves a mount made with `ringfs mount`. */
function mountProcess(dir: string): number {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    let words: string[] = [];
    try {
      words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    } catch {
      // it has ended
    }
    if (words.includes('mount') && words.includes('--foreground') && words.includes(dir)) return Number(pid);
  }
  throw new Error(`no process serves ${dir}`);
}

describe('a second mount', () => {
  let cluster: TestCluster;
  let other = '';
  before(async () => {
    cluster = await TestCluster.start();
    other = mkdtempSync(path.join(tmpdir(), 'ringfs-second-'));
    const mounted = ringfs('mount', cluster.addresses.join(','), other);
    assert.equal(mounted.status, 0, mounted.stderr);
    assert.match(mounted.stdout, /^ready/);
  });
  after(async () => {
    const done = ringfs('umount', other);
    rmSync(other, { recursive: true });
    await cluster.remove();
    assert.equal(done.status, 0, done.stderr);
  });

  it('sees what the first wrote once it is closed, again and again, both ways', () => {
    const mounts = [cluster.mount, other];
    for (let round = 0; round < 50; round++) {
      const text = `round ${round} `.repeat(1 + round * 37);
      writeFileSync(path.join(mounts[round % 2] ?? '', 'shared'), text);
      const reader = path.join(mounts[(round + 1) % 2] ?? '', 'shared');
      assert.equal(statSync(reader).size, text.length);
      assert.equal(readFileSync(reader, 'utf8'), text);
    }
  });

  it('sees names come, move and go at once', () => {
    const names = (dir: string): string[] => readdirSync(dir).filter((name) => name.startsWith('n-'));
    for (let round = 0; round < 20; round++) {
      assert.throws(() => statSync(path.join(other, `n-${round}`)), { code: 'ENOENT' }); // a negative answer must not stick
      writeFileSync(cluster.path(`n-${round}`), 'x');
      assert.equal(statSync(path.join(other, `n-${round}`)).size, 1);
      renameSync(path.join(other, `n-${round}`), path.join(other, `n-moved-${round}`));
      assert.deepEqual(names(cluster.mount), [`n-moved-${round}`]);
      unlinkSync(cluster.path(`n-moved-${round}`));
      assert.deepEqual(names(other), []);
    }
  });

  it('sees a truncation', () => {
    writeFileSync(cluster.path('t'), Buffer.alloc(100_000, 1));
    assert.equal(readFileSync(path.join(other, 't')).length, 100_000);
    truncateSync(cluster.path('t'), 10);
    assert.equal(readFileSync(path.join(other, 't')).length, 10);
  });

  it('is mounted again over what a killed mount process has left, also when it is in use', async () => {
    writeFileSync(path.join(other, 'kept'), 'kept');
    const file = openSync(path.join(other, 'kept'), 'r');
    process.kill(mountProcess(other), 'SIGKILL');
    await until('the mount is dead', () => {
      try {
        statSync(other);
        return false;
      } catch (error) {
        return (error as NodeJS.ErrnoException).code === 'ENOTCONN';
      }
    });
    const refused = ringfs('mount', cluster.addresses.join(','), cluster.mount);
    assert.equal(refused.status, 1, refused.stdout);
    assert.match(refused.stderr, /already a mount point/);
    const mounted = ringfs('mount', cluster.addresses.join(','), other);
    assert.equal(mounted.status, 0, mounted.stderr);
    assert.match(mounted.stderr, /mounting again/);
    assert.equal(readFileSync(path.join(other, 'kept'), 'utf8'), 'kept');
    assert.throws(() => fstatSync(file), { code: 'ENOTCONN' });
    closeSync(file);
  });
});
