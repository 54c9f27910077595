import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DIRECTORY_WALK_MAX, LINK_COUNT_MAX } from '../../../../../src/base/limits.ts';
import { NamespaceFixture } from '../../../../support/namespace-fixture.ts';
import { link, mkdir, mkfile, rename, rmdir } from '../../../../support/namespace-ops.ts';

const NOREPLACE = 1;
const EXCHANGE = 2;

test('a file moves to another directory', () => {
  const fs = new NamespaceFixture();
  const f = fs.ino(mkfile(1, 'f'));
  const d = fs.ino(mkdir(1, 'd'));
  fs.now = 2000;
  const ok = fs.ok(rename(1, 'f', d, 'g'));
  assert.equal(ok.results[0]?.ino, f);
  assert.equal(fs.entry(1, 'f'), undefined);
  assert.equal(fs.entry(d, 'g'), f);
  assert.deepEqual([fs.attr(1).size, fs.attr(d).size], [1, 1]);
  assert.deepEqual([fs.attr(f).ctimeSec, fs.attr(f).mtimeSec, fs.attr(f).nlink], [2000, 1000, 1]);
  assert.deepEqual([fs.attr(1).mtimeSec, fs.attr(d).mtimeSec], [2000, 2000]);
});

test('a directory moves with its parent pointer and its link', () => {
  const fs = new NamespaceFixture();
  const a = fs.ino(mkdir(1, 'a'));
  const b = fs.ino(mkdir(1, 'b'));
  const x = fs.ino(mkdir(a, 'x'));
  fs.ok(rename(a, 'x', b, 'y'));
  assert.equal(fs.attr(x).parent, b);
  assert.deepEqual([fs.attr(a).nlink, fs.attr(b).nlink], [2, 3]);
  fs.ok(rename(b, 'y', b, 'z'));
  assert.deepEqual([fs.attr(b).nlink, fs.attr(b).size], [3, 1]);
});

test('a file replaces a file, which loses a link', () => {
  const fs = new NamespaceFixture();
  const f = fs.ino(mkfile(1, 'f'));
  const g = fs.ino(mkfile(1, 'g'));
  fs.ok(link(g, 1, 'h'));
  fs.ok(rename(1, 'f', 1, 'g'));
  assert.equal(fs.entry(1, 'g'), f);
  assert.equal(fs.attr(g).nlink, 1);
  assert.equal(fs.attr(1).size, 2);
  const ok = fs.ok(rename(1, 'g', 1, 'h'));
  assert.equal(ok.touched.find((t) => t.attr?.ino === g)?.removed, true);
  assert.equal(fs.reap(g).value, 0);
  assert.equal(fs.exists(g), false);
});

test('a directory replaces an empty directory', () => {
  const fs = new NamespaceFixture();
  const a = fs.ino(mkdir(1, 'a'));
  const b = fs.ino(mkdir(1, 'b'));
  const x = fs.ino(mkdir(a, 'x'));
  fs.ok(rename(a, 'x', 1, 'b'));
  assert.equal(fs.entry(1, 'b'), x);
  assert.equal(fs.attr(x).parent, 1);
  assert.equal(fs.attr(b).nlink, 0);
  assert.deepEqual([fs.attr(1).nlink, fs.attr(1).size, fs.attr(a).nlink], [4, 2, 2]);
  // In one directory: one goes, one stays.
  fs.ok(rename(1, 'b', 1, 'a'));
  assert.deepEqual([fs.attr(1).nlink, fs.attr(1).size], [3, 1]);
});

test('two names of one inode: nothing happens, successfully', () => {
  const fs = new NamespaceFixture();
  const f = fs.ino(mkfile(1, 'f'));
  fs.ok(link(f, 1, 'g'));
  const ok = fs.ok(rename(1, 'f', 1, 'g'));
  assert.equal(ok.touched.length, 0);
  assert.deepEqual([fs.entry(1, 'f'), fs.entry(1, 'g'), fs.attr(f).nlink], [f, f, 2]);
  assert.equal(fs.ok(rename(1, 'f', 1, 'f')).touched.length, 0);
  assert.equal(fs.errno(rename(1, 'f', 1, 'g', NOREPLACE)), 'EEXIST');
});

test('exchange swaps names, parents and links', () => {
  const fs = new NamespaceFixture();
  const a = fs.ino(mkdir(1, 'a'));
  const b = fs.ino(mkdir(1, 'b'));
  const x = fs.ino(mkdir(a, 'x'));
  const f = fs.ino(mkfile(b, 'f'));
  fs.ok(mkfile(x, 'content'));
  fs.ok(rename(a, 'x', b, 'f', EXCHANGE));
  assert.deepEqual([fs.entry(a, 'x'), fs.entry(b, 'f')], [f, x]);
  assert.deepEqual([fs.attr(a).nlink, fs.attr(b).nlink, fs.attr(x).parent], [2, 3, b]);
  assert.deepEqual([fs.attr(a).size, fs.attr(b).size], [1, 1]);
  fs.ok(rename(a, 'x', b, 'f', EXCHANGE));
  assert.deepEqual([fs.attr(a).nlink, fs.attr(b).nlink, fs.attr(x).parent], [3, 2, a]);
  fs.ok(rename(1, 'a', 1, 'b', EXCHANGE));
  assert.deepEqual([fs.entry(1, 'a'), fs.entry(1, 'b'), fs.attr(1).nlink], [b, a, 4]);
});

test('what rename refuses', () => {
  const fs = new NamespaceFixture();
  const f = fs.ino(mkfile(1, 'f'));
  const a = fs.ino(mkdir(1, 'a'));
  const b = fs.ino(mkdir(a, 'b'));
  const c = fs.ino(mkdir(b, 'c'));
  const g = fs.ino(mkfile(c, 'g'));
  const cases: [ReturnType<typeof rename>, string][] = [
    [rename(1, 'nothing', 1, 'x'), 'ENOENT'],
    [rename(1, 'nothing', 1, 'f', NOREPLACE), 'ENOENT'],
    [rename(1, 'f', 1, 'a', NOREPLACE), 'EEXIST'],
    [rename(1, 'f', 1, 'x', EXCHANGE), 'ENOENT'],
    [rename(1, 'f', 1, 'x', NOREPLACE | EXCHANGE), 'EINVAL'],
    [rename(1, 'f', 1, 'x', 4), 'EINVAL'],
    [rename(1, 'a', a, 'x'), 'EINVAL'],
    [rename(1, 'a', c, 'x'), 'EINVAL'],
    [rename(1, 'a', c, 'g'), 'EINVAL'],
    [rename(1, 'a', c, 'g', EXCHANGE), 'EINVAL'],
    [rename(c, 'g', 1, 'a', EXCHANGE), 'EINVAL'],
    [rename(c, 'g', 1, 'a'), 'ENOTEMPTY'],
    [rename(b, 'c', 1, 'a'), 'ENOTEMPTY'],
    [rename(1, 'f', 1, 'a'), 'EISDIR'],
    [rename(1, 'f', a, 'b'), 'EISDIR'],
    [rename(1, 'a', 1, 'f'), 'ENOTDIR'],
    [rename(f, 'x', 1, 'y'), 'ENOTDIR'],
    [rename(1, 'f', f, 'y'), 'ENOTDIR'],
    [rename(99, 'x', 1, 'y'), 'ESTALE'],
    [rename(1, 'f', 99, 'y'), 'ESTALE'],
    [rename(1, '.', 1, 'y'), 'EINVAL'],
    [rename(1, 'f', 1, '..'), 'EINVAL'],
    [rename(1, 'f', 1, 'y'.repeat(256)), 'ENAMETOOLONG'],
  ];
  for (const [op, errno] of cases) assert.equal(fs.errno(op), errno, JSON.stringify(op.body));
  assert.equal(fs.attr(g).nlink, 1);
});

test('nothing moves into a removed directory', () => {
  const fs = new NamespaceFixture();
  const d = fs.ino(mkdir(1, 'd'));
  fs.ok(mkfile(1, 'f'), mkdir(1, 'e'), rmdir(1, 'd'));
  assert.equal(fs.errno(rename(1, 'f', d, 'x')), 'ENOENT');
  assert.equal(fs.errno(rename(1, 'e', d, 'x')), 'ENOENT');
});

test('a directory with as many links as there may be takes no more from elsewhere', () => {
  const fs = new NamespaceFixture();
  const d = fs.ino(mkdir(1, 'd'));
  fs.ok(mkdir(1, 'e'), mkfile(1, 'f'), mkfile(d, 'g'));
  fs.override(d, { nlink: LINK_COUNT_MAX });
  assert.equal(fs.errno(rename(1, 'e', d, 'x')), 'EMLINK');
  assert.equal(fs.errno(rename(1, 'e', d, 'g', EXCHANGE)), 'EMLINK');
  assert.equal(fs.errno(rename(d, 'g', 1, 'e', EXCHANGE)), 'EMLINK');
  assert.equal(fs.errno(rename(1, 'f', d, 'x')), 'ok');
});

test('a rename under a deep directory is checked up to the root, as far as that is bounded', () => {
  const fs = new NamespaceFixture();
  const made = (k: number): number => Number.MAX_SAFE_INTEGER - k;
  let parent = fs.ino(mkdir(1, 'top'));
  const deepen = (levels: number): void => {
    for (; levels > 0; levels -= 1000) {
      const chain = Array.from({ length: 1000 }, (_, i) => mkdir(i === 0 ? parent : made(i - 1), 'd'));
      parent = fs.ino(...chain);
    }
  };
  const other = fs.ino(mkdir(1, 'other'));
  fs.ok(mkdir(other, 'inner'));
  const f = fs.ino(mkfile(1, 'f'));
  deepen(1000);
  fs.machine.view.clear();
  assert.equal(fs.errno(rename(1, 'top', parent, 'x')), 'EINVAL');
  assert.equal(fs.errno(rename(1, 'other', parent, 'x')), 'ok');
  fs.ok(rename(parent, 'x', 1, 'other'));
  deepen(DIRECTORY_WALK_MAX);
  assert.equal(fs.errno(rename(1, 'other', parent, 'x')), 'ELOOP');
  fs.ok(rename(1, 'f', parent, 'f'), rename(other, 'inner', parent, 'leaf'));
  assert.equal(fs.entry(parent, 'f'), f);
});
