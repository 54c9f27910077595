import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { millisecondsOf, modificationTimeOf } from '../../../../mount/fuse-native/binding.ts';
import { componentsOf, joinNames } from '../../../../mount/fuse-native/names.ts';
import { PathOperations } from '../../../../mount/fuse-native/operations.ts';
import { instantOf, statArray, statfsOf, statOf } from '../../../../mount/fuse-native/stat.ts';
import { ROOT_INO } from '../../../../src/base/ids.ts';
import { formatAcl } from '../../../../src/core/namespace/posix-acl.ts';
import { acl } from '../../../support/acls.ts';
import { attrFixture } from '../../../support/attr-fixture.ts';
import { MemoryFileSystem } from '../../../support/memory-file-system.ts';

const CLOCK = { wallTime: () => ({ sec: 1_700_000_000, nsec: 123_456_789 }) };
const CALLER = { uid: 1000, gid: 100, pid: 1 };

describe('fuse-native conversions', () => {
  it('finds the modification time in the native record, and only where the access time confirms it', () => {
    const record = Buffer.alloc(200);
    record.writeBigUInt64LE(1_000_000_000_123n, 104);
    record.writeBigUInt64LE(1_234_567_890_456n, 112);
    const [low, high] = [1_000_000_000_123 % 2 ** 32, Math.floor(1_000_000_000_123 / 2 ** 32)];
    const mtime = modificationTimeOf(record, low, high)!;
    assert.equal(millisecondsOf(mtime.low, mtime.high), 1_234_567_890_456);
    assert.equal(modificationTimeOf(record, low + 1, high), undefined);
    assert.equal(modificationTimeOf(record.subarray(0, 110), low, high), undefined);
    assert.equal(millisecondsOf(0xffff_ffff, 0xffff_ffff), 0);
  });

  it('cuts times to milliseconds from 1970 on', () => {
    assert.deepEqual(instantOf(1_234_567_890_456), { sec: 1_234_567_890, nsec: 456_000_000 });
    const stat = statOf(
      attrFixture({ mtimeSec: 5, mtimeNsec: 1_999_999, ctimeSec: -5, allocatedBytes: 513 }),
    );
    assert.deepEqual([stat.mtime, stat.ctime, stat.blocks], [5001, 0, 2]);
  });

  it('lays the stat record out as populate_stat reads it', () => {
    const stat = statOf(
      attrFixture({
        ino: 2 ** 32 + 7,
        mode: 0o100644,
        uid: 1,
        gid: 2,
        size: 2 ** 33 + 3,
        nlink: 4,
        rdev: 5,
        mtimeSec: 2 ** 32,
      }),
    );
    const ms = 2 ** 32 * 1000;
    assert.deepEqual(
      [...statArray(stat)],
      [0o100644, 1, 2, 3, 2, 0, 4, 7, 5, 65_536, 0, 0, 0, 0, ms % 2 ** 32, Math.floor(ms / 2 ** 32), 0, 0],
    );
  });

  it('tells a large filesystem in larger blocks', () => {
    const { bsize, blocks, ffree } = statfsOf({
      blockSizeBytes: 4096,
      totalBytes: 2 ** 50,
      availableBytes: 2 ** 49,
      files: 1,
      filesFree: 2 ** 40,
      nameBytesMax: 255,
    });
    assert.ok(blocks < 2 ** 32);
    assert.equal(blocks * bsize, 2 ** 50);
    assert.equal(ffree, 2 ** 32 - 1);
  });

  it('splits paths and joins names', () => {
    assert.deepEqual(componentsOf('/'), []);
    assert.deepEqual(componentsOf('/a/ä').map(String), ['a', 'ä']);
    assert.throws(() => componentsOf(`/${'n'.repeat(256)}`), { code: 'ENAMETOOLONG' });
    assert.equal(Buffer.from(joinNames([Buffer.from('a'), Buffer.from('bc')])).toString('latin1'), 'a\0bc\0');
  });
});

describe('PathOperations', () => {
  const make = () => {
    const fileSystem = new MemoryFileSystem({ clock: CLOCK });
    return { fileSystem, operations: new PathOperations({ fileSystem }, { caller: CALLER }) };
  };

  it('leaves a file that another mount made first to the kernel to open', async () => {
    const { fileSystem, operations } = make();
    await operations.release(await operations.create('/f', 0o600));
    await assert.rejects(operations.create('/f', 0o600), { code: 'ESTALE' });
    assert.deepEqual([fileSystem.openHandles(), fileSystem.lookupCount()], [0, 0]);
  });

  it('works by path and leaves no references behind', async () => {
    const { fileSystem, operations } = make();
    await operations.mkdir('/d', 0o755);
    const fd = await operations.create('/d/f', 0o100640);
    assert.equal(await operations.write(fd, Buffer.from('hello'), 0), 5);
    const buffer = Buffer.alloc(10);
    assert.equal(await operations.read(fd, buffer, 10, 1), 4);
    assert.equal(buffer.subarray(0, 4).toString(), 'ello');
    await operations.rename('/d/f', '/d/g');
    await operations.link('/d/g', '/h');
    await operations.symlink('d/g', '/s');
    assert.equal(await operations.readlink('/s'), 'd/g');
    const { names, stats } = await operations.readdir('/');
    assert.deepEqual(names, ['.', '..', 'd', 'h', 's']);
    assert.deepEqual(
      stats.map(({ mode }) => mode.toString(8)),
      ['40000', '40000', '40000', '100000', '120000'],
    );
    const stat = await operations.getattr('/h');
    assert.deepEqual([stat.mode, stat.uid, stat.nlink, stat.size], [0o100640, 1000, 2, 5]);
    await operations.release(fd);
    await assert.rejects(operations.read(fd, buffer, 1, 0), { code: 'EBADF' });
    await assert.rejects(operations.getattr('/missing/f'), { code: 'ENOENT' });
    await assert.rejects(operations.rmdir('/'), { code: 'EBUSY' });
    assert.equal(fileSystem.lookupCount(), 0);
    assert.equal(fileSystem.openHandles(), 0);
  });

  it('asks for attributes of an open file by its descriptor', async () => {
    const { operations } = make();
    const fd = await operations.create('/f', 0o644);
    await operations.unlink('/f');
    const array = await operations.fgetattrArray('/f', fd);
    assert.equal(array[6], 0); // st_nlink
    await operations.ftruncate(fd, 7);
    assert.equal((await operations.fgetattrArray('/f', fd))[3], 7);
    await operations.release(fd);
  });

  it('chown leaves what is -1', async () => {
    const { operations } = make();
    await operations.mknod('/f', 0o100644, 0);
    await operations.chown('/f', 0xffff_ffff, 7);
    const { uid, gid } = await operations.getattr('/f');
    assert.deepEqual([uid, gid], [1000, 7]);
  });

  it('has no access lists, and shows none', async () => {
    const { operations, fileSystem } = make();
    await assert.rejects(operations.getxattrBytes('/', 'system.posix_acl_access'), { code: 'EOPNOTSUPP' });
    await operations.setxattr('/', 'user.a', Buffer.from('v'), 0);
    assert.equal(Buffer.from(await operations.getxattrBytes('/', 'user.a')).toString(), 'v');
    const value = formatAcl(acl('u::rwx,u:7:r--,g::r-x,m::r-x,o::---'));
    const caller = { uid: 0, gid: 0, pid: 0 };
    const name = Buffer.from('system.posix_acl_access');
    await fileSystem.setxattr(caller, ROOT_INO, name, value, { flags: 0 });
    const names = await operations.listxattrBytes('/');
    assert.deepEqual(
      names.map((bytes) => Buffer.from(bytes).toString()),
      ['user.a'],
    );
  });
});
