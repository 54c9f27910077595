import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FILE_SIZE_BYTES_MAX } from '../../../../../src/base/limits.ts';
import { NamespaceFixture } from '../../../../support/namespace-fixture.ts';
import {
  DIR,
  FIFO,
  makeNode,
  mkdir,
  mkfile,
  REG,
  setAttr,
  truncate,
} from '../../../../support/namespace-ops.ts';

test('only what is named changes; ctime is the time of the commit', () => {
  const fs = new NamespaceFixture();
  const f = fs.ino(makeNode(1, 'f', REG | 0o644, { uid: 1, gid: 2 }));
  fs.now = 2000;
  fs.ok(setAttr(f, { mode: 0o4711 }));
  let attr = fs.attr(f);
  assert.deepEqual(
    [attr.mode, attr.uid, attr.gid, attr.ctimeSec, attr.mtimeSec],
    [REG | 0o4711, 1, 2, 2000, 1000],
  );
  fs.ok(setAttr(f, { uid: 10 }), setAttr(f, { gid: 20 }));
  attr = fs.attr(f);
  assert.deepEqual([attr.mode, attr.uid, attr.gid], [REG | 0o4711, 10, 20]);
  fs.ok(setAttr(f, { atime: { sec: -5, nsec: 1 }, mtime: { sec: 2 ** 34, nsec: 999_999_999 } }));
  attr = fs.attr(f);
  assert.deepEqual(
    [attr.atimeSec, attr.atimeNsec, attr.mtimeSec, attr.mtimeNsec],
    [-5, 1, 2 ** 34, 999_999_999],
  );
  fs.ok(setAttr(f, { ctime: { sec: 77, nsec: 8 } }));
  assert.deepEqual([fs.attr(f).ctimeSec, fs.attr(f).ctimeNsec], [77, 8]);
});

test('the type is not changed by a mode', () => {
  const fs = new NamespaceFixture();
  const f = fs.ino(mkfile(1, 'f'));
  fs.ok(setAttr(f, { mode: DIR | 0o777 }));
  assert.equal(fs.attr(f).mode, REG | 0o777);
});

test('set-ID bits are cleared as a write or chown clears them', () => {
  const fs = new NamespaceFixture();
  const cases: [number, number][] = [
    [REG | 0o6755, REG | 0o0755],
    [REG | 0o6745, REG | 0o2745],
    [DIR | 0o6755, DIR | 0o6755],
  ];
  for (const [before, after] of cases) {
    const ino = fs.ino(makeNode(1, before.toString(8), before));
    fs.ok(setAttr(ino, { uid: 4, clearSuidSgid: true }));
    assert.equal(fs.attr(ino).mode, after);
  }
});

test('a size sets mtime, and marks the data as changed when it differs', () => {
  const fs = new NamespaceFixture();
  const f = fs.ino(mkfile(1, 'f'));
  fs.now = 2000;
  fs.ok(truncate(f, 100));
  const attr = fs.attr(f);
  assert.deepEqual([attr.size, attr.allocatedBytes, attr.mtimeSec], [100, 0, 2000]);
  assert.equal(attr.dataVersion, attr.version);
  fs.now = 3000;
  fs.ok(truncate(f, 100));
  assert.equal(fs.attr(f).dataVersion, attr.dataVersion);
  assert.equal(fs.attr(f).mtimeSec, 3000);
  fs.ok(setAttr(f, { size: 5, mtime: { sec: 4, nsec: 5 } }));
  assert.deepEqual([fs.attr(f).mtimeSec, fs.attr(f).mtimeNsec], [4, 5]);
});

test('what set-attr refuses', () => {
  const fs = new NamespaceFixture();
  const f = fs.ino(mkfile(1, 'f'));
  const d = fs.ino(mkdir(1, 'd'));
  const p = fs.ino(makeNode(1, 'p', FIFO | 0o600));
  assert.equal(fs.errno(truncate(d, 0)), 'EISDIR');
  assert.equal(fs.errno(truncate(p, 0)), 'EINVAL');
  assert.equal(fs.errno(truncate(f, FILE_SIZE_BYTES_MAX + 1)), 'EFBIG');
  assert.equal(fs.errno(truncate(f, FILE_SIZE_BYTES_MAX)), 'ok');
  assert.equal(fs.errno(truncate(99, 0)), 'ESTALE');
  assert.equal(fs.errno(setAttr(f, { mtime: { sec: 0, nsec: 1_000_000_000 } })), 'EINVAL');
});
