import assert from 'node:assert/strict';
import {
  mkdtempSync,
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
import { ringfs, TestCluster } from '../support/test-cluster.ts';

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
});
