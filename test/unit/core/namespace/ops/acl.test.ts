import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatAcl, parseAcl } from '../../../../../src/core/namespace/posix-acl.ts';
import { getxattr, listxattr } from '../../../../../src/core/namespace/read.ts';
import { acl } from '../../../../support/acls.ts';
import { NamespaceFixture } from '../../../../support/namespace-fixture.ts';
import {
  bytes,
  DIR,
  FIFO,
  makeNode,
  mkdir,
  mkfile,
  REG,
  removeXattr,
  rmdir,
  setAttr,
  setXattr,
  symlink,
  text,
} from '../../../../support/namespace-ops.ts';

const ACCESS = 'system.posix_acl_access';
const DEFAULT = 'system.posix_acl_default';
const EXTENDED = 'u::rw-,u:7:rw-,g::r--,m::rw-,o::---';

const setAcl = (ino: number, name: string, list: string, clearSgid = false) =>
  setXattr(ino, name, formatAcl(acl(list)), 0, clearSgid);

async function aclOf(fs: NamespaceFixture, ino: number, name: string): Promise<unknown> {
  try {
    return parseAcl(await getxattr(fs.machine.store, ino, bytes(name)));
  } catch (error) {
    return (error as { code: string }).code;
  }
}

const flags = (fs: NamespaceFixture, ino: number): boolean[] => {
  const { hasXattrs, hasAccessAcl, hasDefaultAcl } = fs.attr(ino);
  return [hasXattrs, hasAccessAcl, hasDefaultAcl];
};

test('an access list sets the mode; chmod changes the list; removing it leaves the mode', async () => {
  const fs = new NamespaceFixture();
  const f = fs.ino(makeNode(1, 'f', REG | 0o4777));
  fs.now = 2000;
  fs.ok(setAcl(f, ACCESS, EXTENDED));
  assert.equal(fs.attr(f).mode, REG | 0o4660);
  assert.equal(fs.attr(f).ctimeSec, 2000);
  assert.deepEqual(flags(fs, f), [true, true, false]);
  assert.deepEqual((await listxattr(fs.machine.store, f)).map(text), [ACCESS]);
  fs.ok(setAttr(f, { mode: 0o751 }));
  assert.equal(fs.attr(f).mode, REG | 0o751);
  assert.deepEqual(await aclOf(fs, f, ACCESS), acl('u::rwx,u:7:rw-,g::r--,m::r-x,o::--x'));
  fs.ok(setAttr(f, { uid: 3 }));
  assert.deepEqual(await aclOf(fs, f, ACCESS), acl('u::rwx,u:7:rw-,g::r--,m::r-x,o::--x'));
  fs.ok(removeXattr(f, ACCESS));
  assert.equal(fs.attr(f).mode, REG | 0o751);
  assert.deepEqual(flags(fs, f), [false, false, false]);
  assert.equal(await aclOf(fs, f, ACCESS), 'ENODATA');
  fs.now = 3000;
  assert.equal(fs.errno(removeXattr(f, ACCESS), removeXattr(f, DEFAULT)), 'ok');
  assert.equal(fs.attr(f).ctimeSec, 2000, 'there was nothing to remove');
});

test('a list that the mode can say is not kept', async () => {
  const fs = new NamespaceFixture();
  const f = fs.ino(mkfile(1, 'f'));
  fs.ok(setXattr(f, 'user.a', bytes('1')), setAcl(f, ACCESS, EXTENDED));
  fs.ok(setAcl(f, ACCESS, 'u::r--,g::-w-,o::--x'));
  assert.equal(fs.attr(f).mode, REG | 0o421);
  assert.equal(await aclOf(fs, f, ACCESS), 'ENODATA');
  assert.deepEqual(flags(fs, f), [true, false, false], 'the other attribute is still there');
  fs.ok(setAcl(f, ACCESS, EXTENDED), setXattr(f, ACCESS, Uint8Array.of(2, 0, 0, 0)));
  assert.deepEqual([fs.attr(f).mode, await aclOf(fs, f, ACCESS)], [REG | 0o660, 'ENODATA']);
});

test('set-group-ID goes when the caller may not keep it', () => {
  const fs = new NamespaceFixture();
  const f = fs.ino(makeNode(1, 'f', REG | 0o2775));
  fs.ok(setAcl(f, ACCESS, EXTENDED));
  assert.equal(fs.attr(f).mode, REG | 0o2660);
  fs.ok(setAcl(f, ACCESS, EXTENDED, true));
  assert.equal(fs.attr(f).mode, REG | 0o660);
  const d = fs.ino(makeNode(1, 'd', DIR | 0o2775));
  fs.ok(setAcl(d, DEFAULT, EXTENDED, true));
  assert.equal(fs.attr(d).mode, DIR | 0o2775);
});

test('what setxattr of a list refuses', () => {
  const fs = new NamespaceFixture();
  const f = fs.ino(mkfile(1, 'f'));
  const s = fs.ino(symlink(1, 's', 'f'));
  assert.equal(fs.errno(setAcl(f, DEFAULT, EXTENDED)), 'EACCES');
  assert.equal(fs.errno(setXattr(f, DEFAULT, Uint8Array.of(2, 0, 0, 0))), 'ok');
  assert.equal(fs.errno(setAcl(s, ACCESS, EXTENDED)), 'EOPNOTSUPP');
  assert.equal(fs.errno(setXattr(f, ACCESS, bytes('xx'))), 'EINVAL');
  assert.equal(fs.errno(setXattr(f, ACCESS, Uint8Array.of(3, 0, 0, 0))), 'EOPNOTSUPP');
  assert.equal(fs.errno(setAcl(f, ACCESS, 'u::rw-,u:7:rw-,g::r--,o::---')), 'EINVAL');
});

test('a default list takes the place of the umask and is handed down', async () => {
  const fs = new NamespaceFixture();
  const d = fs.ino(mkdir(1, 'd'));
  fs.ok(setAcl(d, DEFAULT, 'u::rwx,u:7:rwx,g::r-x,m::rwx,o::---'));
  assert.deepEqual([flags(fs, d), fs.attr(d).mode], [[true, false, true], DIR | 0o755]);

  const f = fs.ino(makeNode(d, 'f', REG | 0o666, { umask: 0o077 }));
  assert.equal(fs.attr(f).mode, REG | 0o660);
  assert.deepEqual(await aclOf(fs, f, ACCESS), acl('u::rw-,u:7:rwx,g::r-x,m::rw-,o::---'));
  assert.deepEqual(flags(fs, f), [true, true, false]);

  const sub = fs.ino(makeNode(d, 'sub', DIR | 0o777, { umask: 0o077 }));
  assert.equal(fs.attr(sub).mode, DIR | 0o770);
  assert.deepEqual(await aclOf(fs, sub, DEFAULT), await aclOf(fs, d, DEFAULT));
  assert.deepEqual(await aclOf(fs, sub, ACCESS), await aclOf(fs, d, DEFAULT));
  assert.deepEqual(flags(fs, sub), [true, true, true]);

  const p = fs.ino(makeNode(sub, 'p', FIFO | 0o600, { umask: 0 }));
  assert.deepEqual(await aclOf(fs, p, ACCESS), acl('u::rw-,u:7:rwx,g::r-x,m::---,o::---'));
  const s = fs.attr(fs.ino(symlink(d, 's', 'x')));
  assert.deepEqual([s.mode, s.hasXattrs, s.hasAccessAcl], [0o120777, false, false]);
});

test('a default list of three entries is handed to directories; files get a mode only', async () => {
  const fs = new NamespaceFixture();
  const d = fs.ino(mkdir(1, 'd'));
  fs.ok(setAcl(d, DEFAULT, 'u::rwx,g::r-x,o::---'));
  const f = fs.ino(makeNode(d, 'f', REG | 0o666, { umask: 0o777 }));
  assert.deepEqual([fs.attr(f).mode, flags(fs, f)], [REG | 0o640, [false, false, false]]);
  const sub = fs.ino(makeNode(d, 'sub', DIR | 0o2777, { umask: 0o777 }));
  assert.deepEqual([fs.attr(sub).mode, flags(fs, sub)], [DIR | 0o2750, [true, false, true]]);
  fs.ok(removeXattr(sub, DEFAULT));
  assert.deepEqual(flags(fs, sub), [false, false, false]);
});

test('without a default list the umask is taken from the mode, but never from a symlink or the special bits', () => {
  const fs = new NamespaceFixture();
  assert.equal(fs.attr(fs.ino(makeNode(1, 'f', REG | 0o6666, { umask: 0o7027 }))).mode, REG | 0o6640);
  assert.equal(fs.attr(fs.ino(makeNode(1, 'd', DIR | 0o1777, { umask: 0o022 }))).mode, DIR | 0o1755);
  const link = makeNode(1, 's', 0o120777, { umask: 0o077, symlinkTarget: bytes('t') });
  assert.equal(fs.attr(fs.ino(link)).mode, 0o120777);
});

test('one commit can make a directory, give it a list, and make what inherits it', async () => {
  const fs = new NamespaceFixture();
  const made = Number.MAX_SAFE_INTEGER;
  const list = 'u::rwx,g::r-x,g:5:rwx,m::rwx,o::---';
  const f = fs.ino(mkdir(1, 'd'), setAcl(made, DEFAULT, list), makeNode(made, 'f', REG | 0o640));
  assert.deepEqual(await aclOf(fs, f, ACCESS), acl('u::rw-,g::r-x,g:5:rwx,m::r--,o::---'));
});

test('lists go with their inode', () => {
  const fs = new NamespaceFixture();
  const before = fs.rowsOfTree().length;
  const d = fs.ino(mkdir(1, 'd'));
  fs.ok(setAcl(d, DEFAULT, EXTENDED), setAcl(d, ACCESS, EXTENDED));
  fs.ok(rmdir(1, 'd'));
  fs.machine.apply({ body: { $case: 'reapOrphan', value: { ino: d, chunksMax: 1 } } });
  assert.equal(fs.rowsOfTree().length, before);
});
