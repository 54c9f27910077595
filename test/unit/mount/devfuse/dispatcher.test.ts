import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { ReplyOutcome } from '../../../../mount/devfuse/channel.ts';
import { Dispatcher } from '../../../../mount/devfuse/dispatcher.ts';
import { FOPEN, INIT_FLAG2, OPCODE } from '../../../../mount/devfuse/protocol/constants.ts';
import { ERRNO, FsError } from '../../../../src/base/errno.ts';
import { type Ino, ROOT_INO } from '../../../../src/base/ids.ts';
import { formatAcl } from '../../../../src/core/namespace/posix-acl.ts';
import { acl } from '../../../support/acls.ts';
import {
  cstrings,
  type DecodedReply,
  decodeReply,
  fuseRequest,
  initBody,
  type RequestFields,
  u32s,
  u64s,
} from '../../../support/fuse-requests.ts';
import { MemoryFileSystem } from '../../../support/memory-file-system.ts';
import { lineLogger } from '../../../support/mount-logger.ts';

const CLOCK = { wallTime: () => ({ sec: 1_700_000_000, nsec: 5 }) };
const CALLER = { uid: 1, gid: 2, pid: 3 };

class Harness {
  readonly fileSystem: MemoryFileSystem;
  readonly log: string[] = [];
  readonly dispatcher: Dispatcher;
  outcome: ReplyOutcome = 'delivered';
  onReply: (reply: DecodedReply) => void = () => {};
  #unique = 2;
  readonly #waiting = new Map<number, (reply: DecodedReply) => void>();
  readonly unexpected: DecodedReply[] = [];

  constructor(fileSystem = new MemoryFileSystem({ clock: CLOCK })) {
    this.fileSystem = fileSystem;
    const channel = {
      reply: (pieces: readonly Uint8Array[]): ReplyOutcome => {
        const reply = decodeReply(Buffer.concat(pieces));
        this.onReply(reply);
        const waiting = this.#waiting.get(reply.unique);
        if (waiting === undefined) this.unexpected.push(reply);
        else waiting(reply);
        return this.outcome;
      },
    };
    const logger = lineLogger('trace', (line) => this.log.push(line));
    const init = {
      maxWriteBytes: 1 << 20,
      maxReadaheadBytes: 1 << 20,
      maxBackground: 64,
      congestionThreshold: 48,
    };
    this.dispatcher = new Dispatcher(
      { channel, fileSystem, logger },
      { init, entryTimeoutMs: 0, attrTimeoutMs: 1000 },
    );
  }

  /** Sends a request and resolves with its reply and when its buffer was given back. */
  call(opcode: number, body?: Uint8Array, fields: RequestFields = {}): Promise<DecodedReply> {
    const unique = fields.unique ?? this.#unique;
    this.#unique += 2;
    return new Promise((resolve) => {
      this.#waiting.set(unique, resolve);
      this.dispatcher.receive(fuseRequest(opcode, body, { ...fields, unique }), () => {});
    });
  }

  send(bytes: Buffer): boolean {
    let done = false;
    this.dispatcher.receive(bytes, () => {
      done = true;
    });
    return done;
  }

  async initialized(flags = 0xffff_ffff, flags2 = 0): Promise<this> {
    const reply = await this.call(OPCODE.INIT, initBody(flags, 40, 7, flags2));
    assert.equal(reply.errno, 0);
    await this.dispatcher.initialized;
    return this;
  }
}

function inoOf({ errno, body }: DecodedReply): number {
  assert.equal(errno, 0);
  return Number(body.readBigUInt64LE(0));
}

describe('Dispatcher', () => {
  it('writes pages of a mapping back at their offset, also through a handle for appending', async () => {
    const h = await new Harness().initialized();
    const created = await h.call(OPCODE.CREATE, Buffer.concat([u32s(0o2102, 0o644, 0, 0), cstrings('f')]));
    const [ino, handle] = [inoOf(created), Number(created.body.readBigUInt64LE(128))];
    const write = (at: number, flags: number, data: string) =>
      Buffer.concat([u64s(handle, at), u32s(data.length, flags), u64s(0), u32s(2, 0), Buffer.from(data)]);
    for (const body of [write(0, 0, 'hello'), write(1, 1, 'u'), write(0, 0, '!')]) {
      assert.equal((await h.call(OPCODE.WRITE, body, { nodeId: ino })).errno, 0);
    }
    const read = Buffer.concat([u64s(handle, 0), u32s(100, 0), u64s(0), u32s(2, 0)]);
    assert.equal((await h.call(OPCODE.READ, read, { nodeId: ino })).body.toString(), 'hullo!');
  });

  it('creates, writes, reads, lists and removes a file', async () => {
    const h = await new Harness().initialized();
    const created = await h.call(OPCODE.CREATE, Buffer.concat([u32s(0o102, 0o100640, 0, 0), cstrings('f')]), {
      uid: 10,
      gid: 20,
    });
    const ino = inoOf(created);
    const handle = Number(created.body.readBigUInt64LE(128));
    assert.equal(created.body.readUInt32LE(40 + 60), 0o100640);
    assert.equal(created.body.readUInt32LE(40 + 68), 10);
    const write = Buffer.concat([u64s(handle, 0), u32s(5, 0), u64s(0), u32s(2, 0), Buffer.from('hello')]);
    assert.equal((await h.call(OPCODE.WRITE, write, { nodeId: ino })).body.readUInt32LE(0), 5);
    const read = Buffer.concat([u64s(handle, 1), u32s(100, 0), u64s(0), u32s(2, 0)]);
    assert.equal((await h.call(OPCODE.READ, read, { nodeId: ino })).body.toString(), 'ello');
    const release = Buffer.concat([u64s(handle), u32s(2, 0), u64s(0)]);
    assert.equal((await h.call(OPCODE.RELEASE, release, { nodeId: ino })).errno, 0);
    assert.equal((await h.call(OPCODE.UNLINK, cstrings('f'))).errno, 0);
    assert.equal((await h.call(OPCODE.LOOKUP, cstrings('f'))).errno, ERRNO.ENOENT);
    h.send(fuseRequest(OPCODE.FORGET, u64s(1), { nodeId: ino }));
    assert.equal(h.fileSystem.inodes(), 1);
  });

  it('refuses what it does not implement with ENOSYS', async () => {
    const h = await new Harness().initialized();
    for (const opcode of [OPCODE.ACCESS, OPCODE.IOCTL, 49, 9999]) {
      assert.equal((await h.call(opcode, Buffer.alloc(64))).errno, ERRNO.ENOSYS);
    }
  });

  it('refuses requests before INIT', async () => {
    assert.equal((await new Harness().call(OPCODE.LOOKUP, cstrings('f'))).errno, ERRNO.EINVAL);
  });

  it('refuses a kernel that is too old', async () => {
    const h = new Harness();
    assert.equal((await h.call(OPCODE.INIT, initBody(0, 8))).errno, ERRNO.EPROTO);
    await assert.rejects(h.dispatcher.initialized, /7\.8/);
  });

  it('answers a truncated or lying request with EINVAL', async () => {
    const h = await new Harness().initialized();
    const write = Buffer.concat([u64s(1, 0), u32s(500, 0), u64s(0), u32s(2, 0), Buffer.from('short')]);
    assert.equal((await h.call(OPCODE.WRITE, write)).errno, ERRNO.EINVAL);
    assert.equal((await h.call(OPCODE.LOOKUP, Buffer.from('no end'))).errno, ERRNO.EINVAL);
    assert.equal((await h.call(OPCODE.LOOKUP, cstrings(''))).errno, ERRNO.EINVAL);
    assert.equal((await h.call(OPCODE.LOOKUP, cstrings('..'))).errno, ERRNO.EINVAL);
    assert.equal(
      (await h.call(OPCODE.MKDIR, Buffer.concat([u32s(0o755, 0), cstrings('a/b')]))).errno,
      ERRNO.EINVAL,
    );
    assert.equal((await h.call(OPCODE.LOOKUP, cstrings('n'.repeat(256)))).errno, ERRNO.ENAMETOOLONG);
    const lying = fuseRequest(OPCODE.LOOKUP, cstrings('f'), { unique: 1000 });
    lying.writeUInt32LE(4000, 0);
    assert.equal(h.send(lying), true);
    assert.deepEqual(
      h.unexpected.map(({ unique, errno }) => [unique, errno]),
      [[1000, ERRNO.EINVAL]],
    );
    assert.equal(h.send(Buffer.alloc(7)), true);
    assert.equal(h.unexpected.length, 1);
  });

  it('survives every kind of garbage and answers each request once', async () => {
    const h = await new Harness().initialized();
    let unique = 100_000;
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(fc.constantFrom(...Object.values(OPCODE)), fc.nat(70)),
        fc.uint8Array({ maxLength: 200 }),
        fc.nat(5),
        async (opcode, body, nodeId) => {
          const silent = [OPCODE.FORGET, OPCODE.BATCH_FORGET, OPCODE.INTERRUPT, OPCODE.INIT] as number[];
          unique += 2;
          if (silent.includes(opcode)) assert.ok(h.send(fuseRequest(opcode, body, { unique, nodeId })));
          else assert.equal((await h.call(opcode, body, { unique, nodeId })).unique, unique);
        },
      ),
      { numRuns: 2000 },
    );
    await h.dispatcher.idle();
  });

  it('turns an unknown failure into EIO and logs its cause', async () => {
    const fileSystem = new MemoryFileSystem({ clock: CLOCK });
    fileSystem.statfs = async () => {
      throw new TypeError('a mistake');
    };
    const h = await new Harness(fileSystem).initialized();
    assert.equal((await h.call(OPCODE.STATFS)).errno, ERRNO.EIO);
    assert.ok(h.log.some((line) => line.startsWith('error') && line.includes('a mistake')));
  });

  it('an interrupt aborts the request that it names, and only that', async () => {
    const fileSystem = new MemoryFileSystem({ clock: CLOCK });
    fileSystem.lookup = (_parent: Ino, _name: Uint8Array, signal?: AbortSignal) =>
      new Promise<never>((_resolve, reject) => {
        signal!.addEventListener('abort', () => reject(signal!.reason as Error));
      });
    const h = await new Harness(fileSystem).initialized();
    const waiting = h.call(OPCODE.LOOKUP, cstrings('f'), { unique: 500 });
    const other = h.call(OPCODE.LOOKUP, cstrings('g'), { unique: 502 });
    h.send(fuseRequest(OPCODE.INTERRUPT, u64s(500), { unique: 501 }));
    assert.equal((await waiting).errno, ERRNO.EINTR);
    assert.deepEqual(h.unexpected, []);
    h.send(fuseRequest(OPCODE.INTERRUPT, u64s(500), { unique: 501 }));
    assert.deepEqual(
      h.unexpected.map(({ unique, errno }) => [unique, errno]),
      [[501, ERRNO.EAGAIN]],
    );
    h.dispatcher.connectionEnded();
    assert.equal((await other).errno, ERRNO.EINTR);
  });

  it('keeps the buffer of a write until the file system is done with it', async () => {
    const fileSystem = new MemoryFileSystem({ clock: CLOCK });
    let finish = (_count: number): void => {};
    fileSystem.write = () =>
      new Promise<number>((resolve) => {
        finish = resolve;
      });
    const h = await new Harness(fileSystem).initialized();
    const write = Buffer.concat([u64s(1, 0), u32s(5, 0), u64s(0), u32s(2, 0), Buffer.from('hello')]);
    let done = false;
    h.dispatcher.receive(fuseRequest(OPCODE.WRITE, write, { unique: 700 }), () => {
      done = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(done, false);
    finish(5);
    await h.dispatcher.idle();
    assert.equal(done, true);
  });

  it('gives back what the kernel did not receive', async () => {
    const h = await new Harness().initialized();
    await h.fileSystem.mkdir(CALLER, ROOT_INO, Buffer.from('d'), 0o755);
    const before = h.fileSystem.lookupCount();
    h.outcome = 'unwanted';
    await h.call(OPCODE.LOOKUP, cstrings('d'));
    await h.call(OPCODE.MKDIR, Buffer.concat([u32s(0o755, 0), cstrings('e')]));
    await h.call(OPCODE.CREATE, Buffer.concat([u32s(0o102, 0o644, 0, 0), cstrings('f')]));
    await h.call(OPCODE.OPENDIR, u32s(0, 0));
    await h.dispatcher.idle();
    assert.equal(h.fileSystem.lookupCount(), before);
    assert.equal(h.fileSystem.openHandles(), 0);
  });

  it('answers EIO when the kernel refuses a reply', async () => {
    const h = await new Harness().initialized();
    const replies: number[] = [];
    h.outcome = 'refused';
    h.onReply = (reply) => replies.push(reply.errno);
    await h.call(OPCODE.STATFS);
    assert.deepEqual(replies, [0, ERRNO.EIO]);
  });

  it('asks for no flush of what is open for reading only', async () => {
    const h = await new Harness().initialized();
    const { ino } = await h.fileSystem.mknod(CALLER, ROOT_INO, Buffer.from('f'), 0o100644, 0);
    const flagsOf = async (flags: number): Promise<number> =>
      (await h.call(OPCODE.OPEN, u32s(flags, 0), { nodeId: ino })).body.readUInt32LE(8);
    assert.equal((await flagsOf(0)) & FOPEN.NOFLUSH, FOPEN.NOFLUSH);
    for (const flags of [1, 2]) assert.equal((await flagsOf(flags)) & FOPEN.NOFLUSH, 0);
    assert.equal((await flagsOf(0o40000)) & FOPEN.DIRECT_IO, FOPEN.DIRECT_IO);
  });

  it('has appends go past the page cache, where the kernel keeps its pages right all the same', async () => {
    for (const [flags2, expected] of [
      [INIT_FLAG2.DIRECT_IO_ALLOW_MMAP, FOPEN.DIRECT_IO],
      [0, 0],
    ] as const) {
      const h = await new Harness().initialized(0xffff_ffff, flags2);
      const { ino } = await h.fileSystem.mknod(CALLER, ROOT_INO, Buffer.from('f'), 0o100644, 0);
      const opened = await h.call(OPCODE.OPEN, u32s(0o2001, 0), { nodeId: ino });
      assert.equal(opened.body.readUInt32LE(8) & FOPEN.DIRECT_IO, expected);
      const other = await h.call(OPCODE.OPEN, u32s(1, 0), { nodeId: ino });
      assert.equal(other.body.readUInt32LE(8) & FOPEN.DIRECT_IO, 0);
    }
  });

  it('counts only the readdirplus entries that fit as looked up', async () => {
    const h = await new Harness().initialized();
    for (let i = 0; i < 50; i++) {
      const { ino } = await h.fileSystem.mkdir(
        CALLER,
        ROOT_INO,
        Buffer.from(`directory-${i}-${'x'.repeat(i)}`),
        0o755,
      );
      h.fileSystem.forget(ino as Ino, 1);
    }
    const handle = await h.fileSystem.opendir(ROOT_INO);
    let [cookie, seen] = [0, 0];
    for (;;) {
      const read = Buffer.concat([u64s(handle, cookie), u32s(4096, 0), u64s(0), u32s(0, 0)]);
      const { body } = await h.call(OPCODE.READDIRPLUS, read);
      if (body.length === 0) break;
      assert.ok(body.length <= 4096);
      for (let at = 0; at < body.length; ) {
        if (body.readBigUInt64LE(at) !== 0n) seen++;
        cookie = Number(body.readBigUInt64LE(at + 136));
        at += (128 + 24 + body.readUInt32LE(at + 144) + 7) & ~7;
      }
    }
    assert.equal(seen, 50);
    assert.equal(h.fileSystem.lookupCount(), 50);
  });

  it('answers ESTALE when another mount created the file first, unless O_EXCL was asked for', async () => {
    const h = await new Harness().initialized();
    await h.fileSystem.mknod(CALLER, ROOT_INO, Buffer.from('f'), 0o100644, 0);
    const create = (flags: number) => Buffer.concat([u32s(flags, 0o644, 0, 0), cstrings('f')]);
    assert.equal((await h.call(OPCODE.CREATE, create(0o102))).errno, ERRNO.ESTALE);
    assert.equal((await h.call(OPCODE.CREATE, create(0o302))).errno, ERRNO.EEXIST);
  });

  it('refuses offsets and sizes that are too large', async () => {
    const h = await new Harness().initialized();
    const created = await h.call(OPCODE.CREATE, Buffer.concat([u32s(0o102, 0o644, 0, 0), cstrings('f')]));
    const [ino, handle] = [inoOf(created), Number(created.body.readBigUInt64LE(128))];
    const huge = 2 ** 62;
    const write = Buffer.concat([u64s(handle, huge), u32s(1, 0), u64s(0), u32s(2, 0), Buffer.from('x')]);
    assert.equal((await h.call(OPCODE.WRITE, write, { nodeId: ino })).errno, ERRNO.EFBIG);
    const setattr = Buffer.concat([u32s(8, 0), u64s(0, huge, 0, 0, 0, 0), u32s(0, 0, 0, 0, 0, 0, 0, 0)]);
    assert.equal((await h.call(OPCODE.SETATTR, setattr, { nodeId: ino })).errno, ERRNO.EFBIG);
    const read = Buffer.concat([u64s(handle, huge), u32s(100, 0), u64s(0), u32s(2, 0)]);
    assert.equal((await h.call(OPCODE.READ, read, { nodeId: ino })).body.length, 0);
  });

  it('seeks over holes, allocates, punches and copies', async () => {
    const h = await new Harness().initialized();
    const opened = async (name: string): Promise<[ino: number, handle: number]> => {
      const body = Buffer.concat([u32s(0o102, 0o644, 0, 0), cstrings(name)]);
      const created = await h.call(OPCODE.CREATE, body);
      return [inoOf(created), Number(created.body.readBigUInt64LE(128))];
    };
    const [[f, fh], [g, gh]] = [await opened('f'), await opened('g')];
    const write = Buffer.concat([u64s(fh, 100), u32s(5, 0), u64s(0), u32s(2, 0), Buffer.from('hello')]);
    await h.call(OPCODE.WRITE, write, { nodeId: f });
    const allocate = (mode: number, offset: number, length: number) =>
      h.call(OPCODE.FALLOCATE, Buffer.concat([u64s(fh, offset, length), u32s(mode, 0)]), { nodeId: f });
    assert.equal((await allocate(0, 0, 300)).errno, 0);
    assert.equal((await allocate(3, 102, 1)).errno, 0);
    assert.equal((await allocate(8, 0, 4096)).errno, ERRNO.EOPNOTSUPP);
    assert.equal((await allocate(0, 2 ** 62, 10)).errno, ERRNO.EFBIG);
    const seek = async (offset: number, whence: number): Promise<number> => {
      const body = Buffer.concat([u64s(fh, offset), u32s(whence, 0)]);
      const reply = await h.call(OPCODE.LSEEK, body, { nodeId: f });
      return reply.errno === 0 ? Number(reply.body.readBigUInt64LE(0)) : -reply.errno;
    };
    assert.deepEqual(
      [await seek(0, 3), await seek(100, 4), await seek(102, 3), await seek(105, 3), await seek(2 ** 62, 4)],
      [100, 102, 103, -ERRNO.ENXIO, -ERRNO.ENXIO],
    );
    assert.equal(await seek(0, 2), -ERRNO.EINVAL);
    const copy = (opcode: number, from: number, to: number, length: number, flags = 0) =>
      h.call(opcode, u64s(fh, from, g, gh, to, length, flags), { nodeId: f });
    const copied = await copy(OPCODE.COPY_FILE_RANGE, 100, 7, 2 ** 62);
    assert.deepEqual([copied.body.length, copied.body.readUInt32LE(0)], [8, 200]);
    const copied64 = await copy(OPCODE.COPY_FILE_RANGE_64, 103, 2 ** 33, 2);
    assert.deepEqual([copied64.body.length, Number(copied64.body.readBigUInt64LE(0))], [8, 2]);
    assert.equal((await copy(OPCODE.COPY_FILE_RANGE, 2 ** 62, 0, 5)).body.readUInt32LE(0), 0);
    assert.equal((await copy(OPCODE.COPY_FILE_RANGE, 0, 2 ** 62, 5)).errno, ERRNO.EFBIG);
    assert.equal((await copy(OPCODE.COPY_FILE_RANGE, 0, 0, 5, 1)).errno, ERRNO.EINVAL);
    const read = Buffer.concat([u64s(gh, 7), u32s(5, 0), u64s(0), u32s(2, 0)]);
    assert.equal((await h.call(OPCODE.READ, read, { nodeId: g })).body.toString('latin1'), 'he\0lo');
    assert.equal((await h.fileSystem.getattr(g as Ino)).size, 2 ** 33 + 2);
  });

  it('makes a file without a name and links it; one that nobody hears of is gone', async () => {
    const h = await new Harness().initialized();
    const tmpfile = Buffer.concat([u32s(0o20200002, 0o100600, 0, 0), cstrings('/')]);
    const made = await h.call(OPCODE.TMPFILE, tmpfile, { uid: 10 });
    const ino = inoOf(made);
    assert.deepEqual([made.body.length, made.body.readUInt32LE(40 + 64)], [144, 0], 'no links');
    assert.equal((await h.call(OPCODE.LINK, Buffer.concat([u64s(ino), cstrings('name')]))).errno, 0);
    assert.equal(inoOf(await h.call(OPCODE.LOOKUP, cstrings('name'))), ino);
    const inodes = h.fileSystem.inodes();
    h.outcome = 'unwanted';
    await h.call(OPCODE.TMPFILE, tmpfile);
    await h.dispatcher.idle();
    assert.equal(h.fileSystem.inodes(), inodes);
  });

  it('has access lists, and nothing else in system.', async () => {
    const h = await new Harness().initialized();
    const get = (name: string) => h.call(OPCODE.GETXATTR, Buffer.concat([u32s(100, 0), cstrings(name)]));
    assert.equal((await get('system.posix_acl_access')).errno, ERRNO.ENODATA);
    assert.equal((await get('system.nfs4_acl')).errno, ERRNO.EOPNOTSUPP);
    assert.equal((await get('user.x')).errno, ERRNO.ENODATA);
    const value = Buffer.from(formatAcl(acl('u::rwx,u:7:r--,g::r-x,m::r-x,o::---')));
    const body = (flags: number) =>
      Buffer.concat([u32s(value.length, 0, flags, 0), cstrings('system.posix_acl_access'), value]);
    await h.fileSystem.setattr(CALLER, ROOT_INO, { mode: 0o2755 });
    assert.equal((await h.call(OPCODE.SETXATTR, body(0))).errno, 0);
    assert.equal((await h.fileSystem.getattr(ROOT_INO)).mode & 0o7777, 0o2750);
    assert.deepEqual((await get('system.posix_acl_access')).body, value);
    assert.equal((await h.call(OPCODE.SETXATTR, body(1))).errno, 0);
    assert.equal((await h.fileSystem.getattr(ROOT_INO)).mode & 0o7777, 0o750);
  });

  it('has none from a kernel that would not enforce them, and shows none', async () => {
    const setxattrExt = 1 << 29;
    const h = await new Harness().initialized(0xffff_ffff - setxattrExt);
    const value = formatAcl(acl('u::rwx,u:7:r--,g::r-x,m::r-x,o::---'));
    await h.fileSystem.setxattr(CALLER, ROOT_INO, Buffer.from('system.posix_acl_access'), value, {
      flags: 0,
    });
    const get = Buffer.concat([u32s(100, 0), cstrings('system.posix_acl_access')]);
    assert.equal((await h.call(OPCODE.GETXATTR, get)).errno, ERRNO.EOPNOTSUPP);
    assert.equal((await h.call(OPCODE.LISTXATTR, u32s(100, 0))).body.length, 0);
    const set = Buffer.concat([u32s(1, 0), cstrings('user.a'), Buffer.from('v')]);
    assert.equal((await h.call(OPCODE.SETXATTR, set)).errno, 0, 'the short struct fuse_setxattr_in');
  });

  it('lists trusted. for root only', async () => {
    const h = await new Harness().initialized();
    for (const name of ['trusted.t', 'user.u']) {
      await h.fileSystem.setxattr(CALLER, ROOT_INO, Buffer.from(name), Buffer.from('v'), { flags: 0 });
    }
    const list = async (uid: number) =>
      (await h.call(OPCODE.LISTXATTR, u32s(100, 0), { uid })).body.toString();
    assert.equal(await list(0), 'trusted.t\0user.u\0');
    assert.equal(await list(7), 'user.u\0');
  });

  it('takes the umask from what is created', async () => {
    const h = await new Harness().initialized();
    const made = [
      await h.call(OPCODE.MKDIR, Buffer.concat([u32s(0o777, 0o027), cstrings('d')])),
      await h.call(OPCODE.MKNOD, Buffer.concat([u32s(0o010666, 0, 0o027, 0), cstrings('p')])),
      await h.call(OPCODE.CREATE, Buffer.concat([u32s(0o102, 0o666, 0o027, 0), cstrings('f')])),
    ];
    const modes = made.map(async (reply) => (await h.fileSystem.getattr(inoOf(reply) as Ino)).mode & 0o777);
    assert.deepEqual(await Promise.all(modes), [0o750, 0o640, 0o640]);
  });

  it('logs errors of the file system that are EIO, and no others', async () => {
    const fileSystem = new MemoryFileSystem({ clock: CLOCK });
    fileSystem.readlink = async () => {
      throw new FsError('EIO', 'no replica');
    };
    const h = await new Harness(fileSystem).initialized();
    assert.equal((await h.call(OPCODE.READLINK)).errno, ERRNO.EIO);
    assert.equal((await h.call(OPCODE.LOOKUP, cstrings('missing'))).errno, ERRNO.ENOENT);
    assert.equal(h.log.filter((line) => line.startsWith('warn')).length, 1);
  });
});
