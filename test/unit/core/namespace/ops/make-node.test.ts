import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LINK_COUNT_MAX } from '../../../../../src/base/limits.ts';
import { NamespaceFixture } from '../../../../support/namespace-fixture.ts';
import {
  bytes,
  DIR,
  FIFO,
  link,
  makeNode,
  mkdir,
  mkfile,
  REG,
  rmdir,
  symlink,
} from '../../../../support/namespace-ops.ts';

test('a file gets its attributes, its entry, and a mark on its directory', () => {
  const fs = new NamespaceFixture();
  const ok = fs.ok(makeNode(1, 'f', REG | 0o640, { uid: 5, gid: 6, rdev: 9 }));
  const ino = ok.results[0]!.ino;
  const attr = fs.attr(ino);
  assert.deepEqual(
    [attr.mode, attr.nlink, attr.uid, attr.gid, attr.rdev, attr.size, attr.parent],
    [REG | 0o640, 1, 5, 6, 0, 0, 0],
  );
  assert.deepEqual([attr.atimeSec, attr.mtimeSec, attr.ctimeSec, attr.btimeSec], [1000, 1000, 1000, 1000]);
  assert.equal(attr.btimeNsec, 7);
  assert.equal(attr.version, fs.machine.index);
  assert.equal(fs.entry(1, 'f'), ino);
  const root = fs.attr(1);
  assert.deepEqual([root.size, root.nlink, root.mtimeSec, root.ctimeSec], [1, 2, 1000, 1000]);
  assert.equal(root.dataVersion, fs.machine.index);
  assert.deepEqual(
    ok.touched.map((t) => [t.attr?.ino, t.previousVersion, t.previousDataVersion, t.removed]),
    [
      [ino, 0, 0, false],
      [1, 1, 1, false],
    ],
  );
});

test('a directory counts the links of its subdirectories', () => {
  const fs = new NamespaceFixture();
  const d = fs.ino(mkdir(1, 'd'));
  fs.ok(mkdir(d, 'a'), mkdir(d, 'b'), mkfile(d, 'c'));
  assert.equal(fs.attr(d).nlink, 4);
  assert.equal(fs.attr(d).size, 3);
  assert.equal(fs.attr(d).parent, 1);
  assert.equal(fs.attr(1).nlink, 3);
});

test('a set-group-ID directory hands down its group, and the bit to directories', () => {
  const fs = new NamespaceFixture();
  const d = fs.ino(makeNode(1, 'd', DIR | 0o2755, { gid: 42 }));
  assert.equal(fs.attr(d).gid, 42);
  const file = fs.attr(fs.ino(makeNode(d, 'f', REG | 0o644, { gid: 7 })));
  assert.deepEqual([file.gid, file.mode], [42, REG | 0o644]);
  const sub = fs.attr(fs.ino(makeNode(d, 's', DIR | 0o755, { gid: 7 })));
  assert.deepEqual([sub.gid, sub.mode], [42, DIR | 0o2755]);
});

test('a symlink has its target and the length of it as its size', () => {
  const fs = new NamespaceFixture();
  const attr = fs.attr(fs.ino(symlink(1, 'l', 'some/where')));
  assert.deepEqual(attr.symlinkTarget, bytes('some/where'));
  assert.equal(attr.size, 10);
});

test('devices keep their number, other types do not', () => {
  const fs = new NamespaceFixture();
  assert.equal(fs.attr(fs.ino(makeNode(1, 'c', 0o020600, { rdev: 259 }))).rdev, 259);
  assert.equal(fs.attr(fs.ino(makeNode(1, 'p', FIFO | 0o600, { rdev: 259 }))).rdev, 0);
});

test('what make-node refuses', () => {
  const fs = new NamespaceFixture();
  const file = fs.ino(mkfile(1, 'f'));
  const long = 'x'.repeat(256);
  assert.equal(fs.errno(mkfile(1, 'f')), 'EEXIST');
  assert.equal(fs.errno(mkdir(1, 'f')), 'EEXIST');
  assert.equal(fs.errno(mkfile(file, 'x')), 'ENOTDIR');
  assert.equal(fs.errno(mkfile(999, 'x')), 'ESTALE');
  assert.equal(fs.errno(mkfile(0, 'x')), 'ESTALE');
  for (const name of ['', '.', '..', 'a/b', 'a\0b']) assert.equal(fs.errno(mkfile(1, name)), 'EINVAL', name);
  assert.equal(fs.errno(mkfile(1, long)), 'ENAMETOOLONG');
  assert.equal(fs.errno(mkfile(1, 'x'.repeat(255))), 'ok');
  assert.equal(fs.errno(mkfile(1, '...')), 'ok');
  assert.equal(fs.errno(makeNode(1, 'x', 0o644)), 'EINVAL');
  assert.equal(fs.errno(makeNode(1, 'x', 0o150000)), 'EINVAL');
  assert.equal(fs.errno(makeNode(1, 'x', 0o200000 | REG)), 'EINVAL');
  assert.equal(fs.errno(symlink(1, 's', '')), 'ENOENT');
  assert.equal(fs.errno(symlink(1, 's', 'x'.repeat(4096))), 'ENAMETOOLONG');
  assert.equal(fs.errno(symlink(1, 's', 'x'.repeat(4095))), 'ok');
  assert.equal(fs.errno(symlink(1, 't', 'a\0')), 'EINVAL');
  assert.equal(fs.errno(makeNode(1, 'x', REG, { symlinkTarget: bytes('t') })), 'EINVAL');
});

test('nothing is made in a removed directory that is still open', () => {
  const fs = new NamespaceFixture();
  const d = fs.ino(mkdir(1, 'd'));
  const f = fs.ino(mkfile(1, 'f'));
  fs.ok(rmdir(1, 'd'));
  assert.equal(fs.errno(mkfile(d, 'x')), 'ENOENT');
  assert.equal(fs.errno(link(f, d, 'x')), 'ENOENT');
});

test('a directory with as many links as there may be takes files but no directories', () => {
  const fs = new NamespaceFixture();
  const d = fs.ino(mkdir(1, 'd'));
  fs.override(d, { nlink: LINK_COUNT_MAX });
  assert.equal(fs.errno(mkdir(d, 'x')), 'EMLINK');
  assert.equal(fs.errno(mkfile(d, 'x')), 'ok');
});

test('an op refers to an inode made before in the same commit', () => {
  const fs = new NamespaceFixture();
  const made = (k: number): number => Number.MAX_SAFE_INTEGER - k;
  const ok = fs.ok(mkdir(1, 'd'), mkdir(made(0), 'e'), mkfile(made(1), 'f'), link(made(2), made(0), 'g'));
  const [d, e, f] = ok.results.map((result) => result.ino);
  assert.equal(fs.entry(d!, 'e'), e);
  assert.equal(fs.entry(e!, 'f'), f);
  assert.equal(fs.entry(d!, 'g'), f);
  assert.equal(ok.touched.length, 4);
  assert.equal(fs.errno(mkfile(made(0), 'x')), 'EINVAL');
  assert.equal(fs.errno(mkfile(1, 'y'), link(made(5), 1, 'z')), 'EINVAL');
  assert.equal(fs.errno(mkfile(1, 'y'), link(made(0), 1, 'z'), link(made(1), 1, 'w')), 'EINVAL');
});

test('an inode number is never given out again', () => {
  const fs = new NamespaceFixture();
  const a = fs.ino(mkdir(1, 'a'));
  fs.ok(rmdir(1, 'a'));
  fs.reap(a);
  assert.ok(fs.ino(mkdir(1, 'a')) > a);
});
