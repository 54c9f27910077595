/** Files made without a name: O_TMPFILE. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CHUNK_SIZE_BYTES } from '../../../../../src/base/limits.ts';
import { TABLE, tableRange } from '../../../../../src/core/namespace/keys.ts';
import { NamespaceFixture } from '../../../../support/namespace-fixture.ts';
import {
  block,
  DIR,
  inline,
  link,
  makeNode,
  mkdir,
  mkfile,
  mktemp,
  REG,
  rmdir,
  unlink,
  write,
} from '../../../../support/namespace-ops.ts';

const orphans = (fs: NamespaceFixture): number => fs.machine.store.scanSync(tableRange(TABLE.orphan)).length;

test('a file without a name is an orphan and changes no directory', () => {
  const fs = new NamespaceFixture();
  const d = fs.ino(makeNode(1, 'd', DIR | 0o2755, { gid: 7 }));
  const before = fs.attr(d);
  const ok = fs.ok(mktemp(d, true, { uid: 3, gid: 4 }));
  const f = ok.results[0]!.ino;
  assert.deepEqual(
    ok.touched.map((t) => [t.attr?.ino, t.removed, t.previousVersion]),
    [[f, true, 0]],
  );
  const { mode, nlink, uid, gid, size } = fs.attr(f);
  assert.deepEqual([mode, nlink, uid, gid, size], [REG | 0o600, 0, 3, 7, 0], 'the group is the directory’s');
  assert.deepEqual(fs.attr(d), before);
  fs.ok(write(f, [inline(0, 'hello')]));
  assert.equal(orphans(fs), 1);
  assert.equal(fs.reap(f).value, 0);
  assert.deepEqual([fs.exists(f), orphans(fs)], [false, 0]);
});

test('it may get a name once, and from then on is a file like others', () => {
  const fs = new NamespaceFixture();
  const f = fs.ino(mktemp(1));
  fs.ok(link(f, 1, 'a'));
  assert.deepEqual([fs.attr(f).nlink, fs.entry(1, 'a'), orphans(fs)], [1, f, 0]);
  const { body } = fs.reap(f).result;
  assert.equal(body?.$case === 'rejected' && body.value.detail, 'the inode has a name');
  fs.ok(link(f, 1, 'b'), unlink(1, 'a'), unlink(1, 'b'));
  assert.equal(orphans(fs), 1);
  assert.equal(fs.errno(link(f, 1, 'c')), 'ENOENT', 'a last name that is gone is gone');
});

test('with O_EXCL it never gets one, nor when its reaping has begun', () => {
  const fs = new NamespaceFixture();
  assert.equal(fs.errno(link(fs.ino(mktemp(1, false)), 1, 'a')), 'ENOENT');
  const f = fs.ino(mktemp(1));
  for (let i = 0; i < 3; i++) fs.ok(write(f, [block(i * CHUNK_SIZE_BYTES, 10, 'b')]));
  assert.ok(fs.reap(f, 1).value > 0);
  assert.equal(fs.errno(link(f, 1, 'a')), 'ENOENT');
  while (fs.reap(f, 1).value > 0);
  assert.equal(fs.exists(f), false);
});

test('made and named in one commit', () => {
  const fs = new NamespaceFixture();
  const ok = fs.ok(mktemp(1), link(Number.MAX_SAFE_INTEGER, 1, 'a'));
  assert.deepEqual(
    [fs.entry(1, 'a'), fs.attr(ok.results[0]!.ino).nlink, orphans(fs)],
    [ok.results[0]!.ino, 1, 0],
  );
});

test('what cannot be made without a name', () => {
  const fs = new NamespaceFixture();
  const f = fs.ino(mkfile(1, 'f'));
  const d = fs.ino(mkdir(1, 'd'));
  fs.ok(rmdir(1, 'd'));
  assert.equal(fs.errno(mktemp(f)), 'ENOTDIR');
  assert.equal(fs.errno(mktemp(d)), 'ENOENT');
  assert.equal(fs.errno(mktemp(99)), 'ESTALE');
  assert.equal(fs.errno(makeNode(1, '', DIR | 0o700, { unnamed: { linkable: true } })), 'EINVAL');
});
