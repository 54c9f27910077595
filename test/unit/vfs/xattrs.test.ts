import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Ino } from '../../../src/base/ids.ts';
import { formatAcl } from '../../../src/core/namespace/posix-acl.ts';
import { acl } from '../../support/acls.ts';
import { bytes, Cluster, createFile, errnoOf, ROOT, text, USER } from '../../support/vfs-fixture.ts';

describe('extended attributes', () => {
  it('go through, within their namespaces', async () => {
    const { vfs } = new Cluster().mount();
    const { ino } = await createFile(vfs, 'f');
    assert.equal(await errnoOf(vfs.getxattr(ino, bytes('user.a'))), 'ENODATA');
    assert.deepEqual(await vfs.listxattr(ino), []);
    await vfs.setxattr(ROOT, ino, bytes('user.a'), bytes('1'), { flags: 0 });
    assert.equal(text(await vfs.getxattr(ino, bytes('user.a'))), '1');
    assert.deepEqual((await vfs.listxattr(ino)).map(text), ['user.a']);
    assert.equal(await errnoOf(vfs.setxattr(ROOT, ino, bytes('user.a'), bytes('2'), { flags: 1 })), 'EEXIST');
    assert.equal(
      await errnoOf(vfs.setxattr(ROOT, ino, bytes('user.b'), bytes('2'), { flags: 2 })),
      'ENODATA',
    );
    assert.equal(
      await errnoOf(vfs.setxattr(ROOT, ino, bytes('system.nfs4_acl'), bytes('2'), { flags: 0 })),
      'EOPNOTSUPP',
    );
    assert.equal(
      await errnoOf(vfs.setxattr(ROOT, ino, bytes('user.big'), new Uint8Array(65_537), { flags: 0 })),
      'E2BIG',
    );
    assert.equal(await errnoOf(vfs.getxattr(ino, bytes(`user.${'x'.repeat(255)}`))), 'ERANGE');
    await vfs.removexattr(ROOT, ino, bytes('user.a'));
    assert.equal(await errnoOf(vfs.removexattr(ROOT, ino, bytes('user.a'))), 'ENODATA');
  });
});

describe('access lists', () => {
  const ACCESS = bytes('system.posix_acl_access');
  const DEFAULT = bytes('system.posix_acl_default');
  const value = formatAcl(acl('u::rwx,u:7:rw-,g::r-x,m::rwx,o::---'));

  it('cost nothing where there are none', async () => {
    const { vfs, meta } = new Cluster().mount();
    const { ino } = await createFile(vfs, 'f');
    await vfs.setxattr(ROOT, ino, bytes('user.a'), bytes('1'), { flags: 0 });
    const [commits, asked] = [meta.commits.length, meta.getxattr];
    meta.getxattr = () => assert.fail('the attributes say that there is none');
    assert.equal(await errnoOf(vfs.getxattr(ino, ACCESS)), 'ENODATA');
    assert.equal(await errnoOf(vfs.getxattr(ino, DEFAULT)), 'ENODATA');
    meta.getxattr = asked;
    await vfs.removexattr(ROOT, ino, ACCESS);
    assert.equal(meta.commits.length, commits);
    assert.equal(await errnoOf(vfs.removexattr(ROOT, ino, bytes('user.b'))), 'ENODATA');
  });

  it('set the mode, also where it is seen through open data', async () => {
    const { vfs } = new Cluster().mount();
    const { ino, handle } = await createFile(vfs, 'f');
    await vfs.setattr(ROOT, ino, { mode: 0o2755 });
    await vfs.write(ino, handle, 0, bytes('dirty'));
    await vfs.setxattr(ROOT, ino, ACCESS, value, { flags: 0 });
    const { mode, size } = await vfs.getattr(ino);
    assert.deepEqual([mode & 0o7777, size], [0o2770, 5]);
    await vfs.setxattr(ROOT, ino, ACCESS, value, { flags: 0, clearSgid: true });
    assert.equal((await vfs.getattr(ino)).mode & 0o7777, 0o770);
    assert.deepEqual(await vfs.getxattr(ino, ACCESS), value);
    await vfs.setattr(ROOT, ino, { mode: 0o700 });
    assert.equal(text(await vfs.getxattr(ino, ACCESS)) === text(value), false, 'chmod has set the mask');
    await vfs.removexattr(ROOT, ino, ACCESS);
    assert.equal(await errnoOf(vfs.getxattr(ino, ACCESS)), 'ENODATA');
  });

  it('take the place of the umask, on another mount too', async () => {
    const cluster = new Cluster();
    const [a, b] = [cluster.mount().vfs, cluster.mount().vfs];
    const masked = { ...USER, umask: 0o077 };
    const { ino } = await a.mkdir(masked, 1 as Ino, bytes('d'), 0o777);
    assert.equal((await b.getattr(ino as Ino)).mode & 0o777, 0o700);
    await a.setxattr(ROOT, ino as Ino, DEFAULT, value, { flags: 0 });
    const made = await b.create(masked, ino as Ino, bytes('f'), 0o666, 0o1);
    assert.equal(made.attr.mode & 0o777, 0o660);
    assert.deepEqual((await b.listxattr(made.attr.ino as Ino)).map(text), ['system.posix_acl_access']);
  });

  it('of the root, set by another mount, are taken from the kernel, which never looked the root up', async () => {
    const cluster = new Cluster();
    const [a, b] = [cluster.mount(), cluster.mount()];
    await a.vfs.getattr(1 as Ino);
    await b.vfs.setxattr(ROOT, 1 as Ino, ACCESS, value, { flags: 0 });
    assert.deepEqual(a.invalidations, [{ ino: 1, data: false }]);
  });
});
