/** Messages byte by byte, against the layouts of include/uapi/linux/fuse.h. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  decodeGetattr,
  decodeSetattr,
  encodeAttr,
  encodeStatfs,
  validityOf,
} from '../../../../../mount/devfuse/protocol/attributes.ts';
import { DirectoryPacker, entriesPerReply } from '../../../../../mount/devfuse/protocol/directories.ts';
import {
  decodeBatchForget,
  decodeMkdir,
  decodeMknod,
  decodeRename2,
  encodeEntry,
} from '../../../../../mount/devfuse/protocol/entries.ts';
import {
  decodeCreate,
  decodeRead,
  decodeWrite,
  encodeCreate,
  encodeOpen,
  encodeWrite,
} from '../../../../../mount/devfuse/protocol/files.ts';
import { decodeHeader, encodeError, finishReply } from '../../../../../mount/devfuse/protocol/header.ts';
import {
  decodeInit,
  encodeInit,
  hasAccessLists,
  negotiate,
} from '../../../../../mount/devfuse/protocol/init.ts';
import { encodeInvalInode } from '../../../../../mount/devfuse/protocol/notices.ts';
import { RequestReader } from '../../../../../mount/devfuse/protocol/wire.ts';
import { decodeSetxattr, encodeXattr } from '../../../../../mount/devfuse/protocol/xattrs.ts';
import type { Ino } from '../../../../../src/base/ids.ts';
import { attrFixture } from '../../../../support/attr-fixture.ts';

const INIT_OPTIONS = {
  maxWriteBytes: 1 << 20,
  maxReadaheadBytes: 1 << 20,
  maxBackground: 64,
  congestionThreshold: 48,
};
const VALIDITIES = { entry: validityOf(0), attr: validityOf(1500) };

const ATTR = attrFixture({
  ino: 0x1_0000_0002,
  size: 1000,
  allocatedBytes: 513,
  atimeSec: 1,
  mtimeSec: 0x1_0000_0000,
  ctimeSec: -1,
  atimeNsec: 10,
  mtimeNsec: 20,
  ctimeNsec: 30,
  mode: 0o100644,
  nlink: 2,
  uid: 1000,
  gid: 0xffff_fffe,
  rdev: 5,
});

/** struct fuse_attr of ATTR. */
const ATTR_HEX = [
  '0200000001000000', // ino
  'e803000000000000', // size
  '0200000000000000', // blocks
  '0100000000000000',
  '0000000001000000',
  'ffffffffffffffff',
  '0a000000',
  '14000000',
  '1e000000',
  'a4810000', // mode
  '02000000',
  'e8030000',
  'feffffff',
  '05000000',
  '00000100', // blksize
  '00000000',
].join('');

function reader(...hex: string[]): RequestReader {
  return new RequestReader(Buffer.from(hex.join(''), 'hex'));
}

function bodyHex(message: Buffer): string {
  return message.subarray(16).toString('hex');
}

describe('FUSE headers', () => {
  it('decodes struct fuse_in_header', () => {
    const bytes = Buffer.from(
      '2c000000' +
        '0f000000' +
        '0800000000000000' +
        '0100000002000000' +
        'e8030000' +
        'e9030000' +
        '39050000' +
        '00000000' +
        'aabbccdd',
      'hex',
    );
    const { header, body } = decodeHeader(bytes);
    assert.deepEqual(header, {
      opcode: 15,
      unique: 8,
      nodeId: 0x2_0000_0001,
      uid: 1000,
      gid: 1001,
      pid: 1337,
    });
    assert.equal(body.remaining, 4);
  });

  it('leaves extensions at the end out of the body', () => {
    const bytes = Buffer.from(
      '34000000' +
        '09000000' +
        '0200000000000000' +
        '0100000000000000' +
        '00000000'.repeat(3) +
        '01000000' +
        'aabbccdd' +
        '1122334455667788',
      'hex',
    );
    assert.equal(decodeHeader(bytes).body.remaining, 4);
  });

  it('encodes struct fuse_out_header', () => {
    assert.equal(encodeError(8, 2).toString('hex'), '10000000' + 'feffffff' + '0800000000000000');
    const message = encodeWrite(4096);
    assert.equal(
      finishReply(message, 0x1_0000_0008).toString('hex'),
      '18000000' + '00000000' + '0800000001000000' + '00100000' + '00000000',
    );
    assert.equal(finishReply(encodeWrite(1), 8, 100).readUInt32LE(0), 124);
  });
});

describe('FUSE INIT', () => {
  it('takes of the offered flags what it wants, and answers with struct fuse_init_out', () => {
    const request = decodeInit(
      reader('07000000', '28000000', '00000200', 'ffffffff', 'ffffffff', '00'.repeat(44)),
    );
    assert.deepEqual(request, {
      major: 7,
      minor: 40,
      maxReadahead: 131_072,
      flags: 0xffff_ffff,
      flags2: 0xffff_ffff,
    });
    const negotiated = negotiate(request, INIT_OPTIONS)!;
    assert.equal(
      bodyHex(encodeInit(negotiated, INIT_OPTIONS)),
      '07000000' +
        '26000000' +
        '00001000' +
        '69e05470' +
        '4000' +
        '3000' +
        '00001000' +
        '01000000' +
        '0001' +
        `000010000000${'00'.repeat(28)}`,
    );
  });

  it('without MAX_PAGES writes at most 32 pages', () => {
    const negotiated = negotiate(
      { major: 7, minor: 26, maxReadahead: 0, flags: 1, flags2: 0 },
      INIT_OPTIONS,
    )!;
    assert.deepEqual([negotiated.minor, negotiated.maxWriteBytes, negotiated.flags], [26, 131_072, 1]);
  });

  it('has access lists and the umask only from a kernel that says when one takes the set-group-ID bit', () => {
    const setxattrExt = 1 << 29;
    const of = (flags: number) =>
      negotiate({ major: 7, minor: 40, maxReadahead: 0, flags, flags2: 0 }, INIT_OPTIONS)!;
    assert.equal(hasAccessLists(of(0xffff_ffff)), true);
    const older = of(0xffff_ffff & ~setxattrExt);
    assert.equal(hasAccessLists(older), false);
    assert.equal(older.flags & ((1 << 6) | (1 << 20) | setxattrExt), 0);
  });

  it('asks a newer kernel for version 7, and refuses an older one', () => {
    assert.equal(
      negotiate({ major: 8, minor: 0, maxReadahead: 0, flags: 0, flags2: 0 }, INIT_OPTIONS),
      undefined,
    );
    assert.equal(bodyHex(encodeInit(undefined, INIT_OPTIONS)).slice(0, 8), '07000000');
    assert.throws(
      () => negotiate({ major: 7, minor: 22, maxReadahead: 0, flags: 0, flags2: 0 }, INIT_OPTIONS),
      /7\.22/,
    );
    assert.throws(() =>
      negotiate({ major: 6, minor: 99, maxReadahead: 0, flags: 0, flags2: 0 }, INIT_OPTIONS),
    );
  });
});

describe('FUSE attributes', () => {
  it('encodes struct fuse_attr_out', () => {
    assert.equal(
      bodyHex(encodeAttr(ATTR, VALIDITIES)),
      ['0100000000000000', '0065cd1d', '00000000', ATTR_HEX].join(''),
    );
  });

  it('encodes struct fuse_entry_out', () => {
    assert.equal(
      bodyHex(encodeEntry(ATTR, VALIDITIES)),
      '0200000001000000' +
        '0000000000000000' +
        '0000000000000000' +
        '0100000000000000' +
        '00000000' +
        '0065cd1d' +
        ATTR_HEX,
    );
  });

  it('decodes struct fuse_getattr_in with and without a handle', () => {
    assert.equal(decodeGetattr(reader('01000000' + '00000000' + '0700000000000000')), 7);
    assert.equal(decodeGetattr(reader('00000000' + '00000000' + '0700000000000000')), undefined);
  });

  const setattrHex = (valid: string): string =>
    valid +
    '00000000' +
    '0900000000000000' + // fh
    '0010000000000000' + // size
    'efbeadde00000000' + // lock_owner
    '0100000000000000' +
    'feffffffffffffff' +
    '0300000000000000' +
    '0b000000' +
    '0c000000' +
    '0d000000' +
    'ed8d0000' + // mode
    '00000000' +
    'e8030000' +
    'e9030000' +
    '00000000';

  it('decodes struct fuse_setattr_in with every field', () => {
    assert.deepEqual(decodeSetattr(reader(setattrHex('7f0c0000'))), {
      handle: 9,
      request: {
        mode: 0o6755,
        uid: 1000,
        gid: 1001,
        size: 4096,
        atime: { sec: 1, nsec: 11 },
        mtime: { sec: -2, nsec: 12 },
        ctime: { sec: 3, nsec: 13 },
        clearSuidSgid: true,
      },
    });
  });

  it('decodes struct fuse_setattr_in with the present time, and with nothing', () => {
    assert.deepEqual(decodeSetattr(reader(setattrHex('b0010000'))), {
      handle: undefined,
      request: { atime: 'now', mtime: 'now' },
    });
    assert.deepEqual(decodeSetattr(reader(setattrHex('00000000'))), { handle: undefined, request: {} });
  });

  it('encodes struct fuse_statfs_out', () => {
    const statfs = {
      blockSizeBytes: 4096,
      totalBytes: 40_960,
      availableBytes: 8191,
      files: 3,
      filesFree: 4,
      nameBytesMax: 255,
    };
    assert.equal(
      bodyHex(encodeStatfs(statfs)),
      '0a00000000000000' +
        '0100000000000000' +
        '0100000000000000' +
        '0300000000000000' +
        '0400000000000000' +
        '00100000' +
        'ff000000' +
        `00100000${'00'.repeat(28)}`,
    );
  });
});

describe('FUSE names and files', () => {
  it('decodes MKNOD, RENAME2, BATCH_FORGET', () => {
    const mknod = decodeMknod(reader('a4210000' + '03010000' + '12000000' + '00000000' + '6e756c6c00'));
    assert.deepEqual(
      [mknod.mode, mknod.rdev, mknod.umask, mknod.name.toString()],
      [0o20644, 0x103, 0o22, 'null'],
    );
    const mkdir = decodeMkdir(reader('ed410000' + '17000000' + '6400'));
    assert.deepEqual([mkdir.mode, mkdir.umask, mkdir.name.toString()], [0o755, 0o27, 'd']);
    const rename = decodeRename2(reader('0500000000000000' + '02000000' + '00000000' + '6100' + '626200'));
    assert.deepEqual(
      [rename.newParent, rename.flags, rename.name.toString(), rename.newName.toString()],
      [5, 2, 'a', 'bb'],
    );
    assert.deepEqual(
      decodeBatchForget(
        reader(
          '02000000' +
            '00000000' +
            '0500000000000000' +
            '0100000000000000' +
            '0600000000000000' +
            '0300000000000000',
        ),
      ),
      [
        { nodeId: 5, count: 1 },
        { nodeId: 6, count: 3 },
      ],
    );
  });

  it('decodes CREATE, READ, WRITE', () => {
    const create = decodeCreate(reader('c2800000' + 'a4810000' + '12000000' + '00000000' + '6600'));
    assert.deepEqual(
      [create.flags, create.mode, create.umask, create.name.toString()],
      [0o100302, 0o644, 0o22, 'f'],
    );
    const readBody = ['0100000000000000', '0000000001000000', '00100000', '00'.repeat(20)].join('');
    assert.deepEqual(decodeRead(reader(readBody)), { handle: 1, offset: 0x1_0000_0000, size: 4096 });
    const write = decodeWrite(
      reader(
        '0100000000000000' +
          '0200000000000000' +
          '03000000' +
          '04000000' +
          'ffffffffffffffff' +
          '01800000' +
          '00000000' +
          '616263',
      ),
    );
    assert.deepEqual(
      [write.handle, write.offset, write.killSuidSgid, write.data.toString()],
      [1, 2, true, 'abc'],
    );
  });

  it('encodes OPEN and CREATE', () => {
    assert.equal(bodyHex(encodeOpen(7, 2)), '0700000000000000' + '02000000' + '00000000');
    const created = bodyHex(encodeCreate(ATTR, VALIDITIES, 7, 1));
    assert.equal(created.length, (128 + 16) * 2);
    assert.equal(created.slice(256), '0700000000000000' + '01000000' + '00000000');
  });

  it('decodes SETXATTR, encodes a value and its size', () => {
    const tail = '757365722e6100' + '010203';
    const short = decodeSetxattr(reader(`0300000001000000${tail}`), false);
    const expected = { flags: 1, clearSgid: false, name: Buffer.from('user.a'), value: Buffer.of(1, 2, 3) };
    assert.deepEqual(short, expected);
    const long = (more: string): unknown => decodeSetxattr(reader(`0300000001000000${more}${tail}`), true);
    assert.deepEqual(long('0000000000000000'), expected);
    assert.deepEqual(long('0100000000000000'), { ...expected, clearSgid: true });
    assert.equal(bodyHex(encodeXattr(Buffer.from('abc'), 0)), '03000000' + '00000000');
    assert.equal(bodyHex(encodeXattr(Buffer.from('abc'), 3)), '616263');
    assert.throws(() => encodeXattr(Buffer.from('abc'), 2), { code: 'ERANGE' });
  });

  it('encodes invalidations', () => {
    const header = '28000000' + '02000000' + '0000000000000000' + '0500000000000000';
    assert.equal(
      encodeInvalInode({ ino: 5 as Ino, data: false }).toString('hex'),
      `${header}ffffffffffffffff${'00'.repeat(8)}`,
    );
    assert.equal(
      encodeInvalInode({ ino: 5 as Ino, data: true }).toString('hex'),
      `${header}${'00'.repeat(16)}`,
    );
  });
});

describe('FUSE directories', () => {
  const entry = (name: string, cookie: number, withAttr = false) => ({
    name: Buffer.from(name),
    ino: 0x1_0000_0002 as Ino,
    type: 0o040000,
    cookie,
    ...(withAttr && { attr: ATTR }),
  });
  const dirent = (cookie: string, length: string, name: string): string =>
    `0200000001000000${cookie}00000000000000${length}00000004000000${name}`;

  it('packs struct fuse_dirent, padded to eight bytes', () => {
    const packer = new DirectoryPacker(100, undefined);
    assert.ok(packer.add(entry('abc', 1)));
    assert.ok(packer.add(entry('12345678', 2)));
    assert.equal(
      bodyHex(packer.finish()),
      dirent('01', '03', '6162630000000000') + dirent('02', '08', '3132333435363738'),
    );
  });

  it('packs struct fuse_direntplus; without attributes the inode counts as not looked up', () => {
    const packer = new DirectoryPacker(400, VALIDITIES);
    assert.ok(packer.add(entry('.', 1)));
    assert.ok(packer.add(entry('a', 2, true)));
    const hex = bodyHex(packer.finish());
    assert.equal(hex.slice(0, 256), '00'.repeat(128));
    assert.equal(hex.slice(256, 320), dirent('01', '01', '2e00000000000000'));
    assert.equal(hex.slice(320, 576), bodyHex(encodeEntry(ATTR, VALIDITIES)));
  });

  it('stops before an entry that does not fit', () => {
    const packer = new DirectoryPacker(entriesPerReply(100, false) * 32, undefined);
    let packed = 0;
    while (packer.add(entry('x', packed + 1))) packed++;
    assert.equal(packed, 3);
    assert.equal(packer.finish().length, 16 + 96);
    assert.equal(new DirectoryPacker(24, undefined).add(entry('x', 1)), false);
  });
});
