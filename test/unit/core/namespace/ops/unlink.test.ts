import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LINK_COUNT_MAX } from '../../../../../src/base/limits.ts';
import { NamespaceFixture } from '../../../../support/namespace-fixture.ts';
import { FIFO, link, makeNode, mkdir, mkfile, rmdir, unlink } from '../../../../support/namespace-ops.ts';

test('link adds a name and a link', () => {
  const fs = new NamespaceFixture();
  const f = fs.ino(mkfile(1, 'f'));
  const d = fs.ino(mkdir(1, 'd'));
  fs.now = 2000;
  const ok = fs.ok(link(f, d, 'g'));
  assert.equal(ok.results[0]?.ino, f);
  assert.equal(fs.entry(d, 'g'), f);
  assert.deepEqual([fs.attr(f).nlink, fs.attr(f).ctimeSec, fs.attr(f).mtimeSec], [2, 2000, 1000]);
  assert.deepEqual([fs.attr(d).size, fs.attr(d).mtimeSec, fs.attr(d).nlink], [1, 2000, 2]);
});

test('what link refuses', () => {
  const fs = new NamespaceFixture();
  const f = fs.ino(mkfile(1, 'f'));
  const d = fs.ino(mkdir(1, 'd'));
  assert.equal(fs.errno(link(d, 1, 'x')), 'EPERM');
  assert.equal(fs.errno(link(d, 1, 'f')), 'EEXIST');
  assert.equal(fs.errno(link(f, 1, 'd')), 'EEXIST');
  assert.equal(fs.errno(link(999, 1, 'x')), 'ESTALE');
  assert.equal(fs.errno(link(f, f, 'x')), 'ENOTDIR');
  assert.equal(fs.errno(link(f, 1, '..')), 'EINVAL');
  fs.ok(unlink(1, 'f'));
  assert.equal(fs.errno(link(f, 1, 'f')), 'ENOENT', 'an unlinked inode gets no new name');
  const g = fs.ino(mkfile(1, 'g'));
  fs.override(g, { nlink: LINK_COUNT_MAX });
  assert.equal(fs.errno(link(g, 1, 'h')), 'EMLINK');
});

test('unlink takes one name; the last one leaves an orphan', () => {
  const fs = new NamespaceFixture();
  const f = fs.ino(mkfile(1, 'f'));
  fs.ok(link(f, 1, 'g'));
  fs.now = 2000;
  let ok = fs.ok(unlink(1, 'f'));
  assert.deepEqual([fs.attr(f).nlink, fs.attr(f).ctimeSec], [1, 2000]);
  assert.equal(ok.touched.find((t) => t.attr?.ino === f)?.removed, false);
  assert.equal(fs.reap(f).result.body?.$case, 'rejected', 'what has a name is not reaped');
  ok = fs.ok(unlink(1, 'g'));
  assert.equal(ok.touched.find((t) => t.attr?.ino === f)?.removed, true);
  assert.equal(fs.attr(f).nlink, 0);
  assert.equal(fs.attr(1).size, 0);
  fs.reap(f);
  assert.equal(fs.exists(f), false);
});

test('rmdir takes an empty directory and its link', () => {
  const fs = new NamespaceFixture();
  const d = fs.ino(mkdir(1, 'd'));
  fs.ok(mkdir(d, 'e'));
  assert.equal(fs.errno(rmdir(1, 'd')), 'ENOTEMPTY');
  fs.ok(rmdir(d, 'e'));
  assert.equal(fs.attr(d).nlink, 2);
  fs.ok(rmdir(1, 'd'));
  assert.equal(fs.attr(1).nlink, 2);
  assert.equal(fs.attr(d).nlink, 0, 'an open handle still sees it');
  assert.equal(fs.entry(1, 'd'), undefined);
});

test('what unlink and rmdir refuse', () => {
  const fs = new NamespaceFixture();
  const f = fs.ino(mkfile(1, 'f'));
  fs.ok(mkdir(1, 'd'));
  assert.equal(fs.errno(unlink(1, 'd')), 'EISDIR');
  assert.equal(fs.errno(rmdir(1, 'f')), 'ENOTDIR');
  for (const op of [unlink, rmdir]) {
    assert.equal(fs.errno(op(1, 'x')), 'ENOENT');
    assert.equal(fs.errno(op(f, 'x')), 'ENOTDIR');
    assert.equal(fs.errno(op(99, 'x')), 'ESTALE');
    assert.equal(fs.errno(op(1, '.')), 'EINVAL');
    assert.equal(fs.errno(op(1, 'y'.repeat(256))), 'ENAMETOOLONG');
  }
});

test('an unlinked inode of any type stays until it is reaped', () => {
  const fs = new NamespaceFixture();
  const p = fs.ino(makeNode(1, 'p', FIFO | 0o600));
  fs.ok(unlink(1, 'p'));
  assert.equal(fs.attr(p).nlink, 0);
  fs.reap(p);
  assert.equal(fs.exists(p), false);
});
