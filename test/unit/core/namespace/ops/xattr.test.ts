import assert from 'node:assert/strict';
import { test } from 'node:test';
import { XATTR_VALUE_BYTES_MAX } from '../../../../../src/base/limits.ts';
import { TABLE, tableRange } from '../../../../../src/core/namespace/keys.ts';
import { getxattr, listxattr } from '../../../../../src/core/namespace/read.ts';
import { NamespaceFixture } from '../../../../support/namespace-fixture.ts';
import { bytes, mkfile, removeXattr, setXattr, text, unlink } from '../../../../support/namespace-ops.ts';

const CREATE = 1;
const REPLACE = 2;

test('attributes are set, replaced, listed in order and removed', async () => {
  const fs = new NamespaceFixture();
  const { store } = fs.machine;
  const f = fs.ino(mkfile(1, 'f'));
  fs.now = 2000;
  fs.ok(
    setXattr(f, 'user.b', bytes('1')),
    setXattr(f, 'user.a', bytes('2')),
    setXattr(f, 'user.c', bytes('')),
  );
  assert.deepEqual((await listxattr(store, f)).map(text), ['user.a', 'user.b', 'user.c']);
  assert.deepEqual([fs.attr(f).hasXattrs, fs.attr(f).ctimeSec, fs.attr(f).mtimeSec], [true, 2000, 1000]);
  fs.ok(setXattr(f, 'user.b', bytes('new'), REPLACE));
  assert.equal(text(await getxattr(store, f, bytes('user.b'))), 'new');
  assert.equal((await getxattr(store, f, bytes('user.c'))).length, 0);
  fs.ok(removeXattr(f, 'user.b'), removeXattr(f, 'user.a'));
  await assert.rejects(getxattr(store, f, bytes('user.b')), { code: 'ENODATA' });
  assert.deepEqual((await listxattr(store, f)).map(text), ['user.c']);
  fs.ok(removeXattr(f, 'user.c'));
  assert.deepEqual([await listxattr(store, f), fs.attr(f).hasXattrs], [[], false]);
  await assert.rejects(listxattr(store, 99), { code: 'ESTALE' });
  await assert.rejects(getxattr(store, 99, bytes('x')), { code: 'ESTALE' });
});

test('what setxattr and removexattr refuse', () => {
  const fs = new NamespaceFixture();
  const f = fs.ino(mkfile(1, 'f'));
  fs.ok(setXattr(f, 'user.a', bytes('1')));
  assert.equal(fs.errno(setXattr(f, 'user.a', bytes('2'), CREATE)), 'EEXIST');
  assert.equal(fs.errno(setXattr(f, 'user.b', bytes('2'), REPLACE)), 'ENODATA');
  assert.equal(fs.errno(setXattr(f, 'user.b', bytes('2'), 4)), 'EINVAL');
  assert.equal(fs.errno(setXattr(f, '', bytes('2'))), 'ERANGE');
  assert.equal(fs.errno(setXattr(f, 'x'.repeat(256), bytes('2'))), 'ERANGE');
  assert.equal(fs.errno(setXattr(f, 'a\0', bytes('2'))), 'EINVAL');
  assert.equal(fs.errno(setXattr(f, 'user.b', new Uint8Array(XATTR_VALUE_BYTES_MAX + 1))), 'E2BIG');
  assert.equal(fs.errno(setXattr(f, 'user.b', new Uint8Array(XATTR_VALUE_BYTES_MAX))), 'ok');
  assert.equal(fs.errno(setXattr(99, 'user.b', bytes('2'))), 'ESTALE');
  assert.equal(fs.errno(removeXattr(f, 'user.none')), 'ENODATA');
  assert.equal(fs.errno(removeXattr(99, 'user.none')), 'ESTALE');
});

test('the names of one inode are bounded, and go with it', () => {
  const fs = new NamespaceFixture();
  const f = fs.ino(mkfile(1, 'f'));
  let n = 0;
  while (fs.commit([setXattr(f, `${n}`.padStart(255, 'x'), bytes('v'))]).result.body?.$case === 'ok') n++;
  assert.equal(n, 256);
  assert.equal(fs.errno(setXattr(f, 'x', bytes('v'))), 'ENOSPC');
  fs.ok(unlink(1, 'f'));
  fs.reap(f);
  const { store } = fs.machine;
  assert.equal(store.scanSync(tableRange(TABLE.xattr)).length, 0);
  assert.equal(store.scanSync(tableRange(TABLE.xattrNames)).length, 0);
});
