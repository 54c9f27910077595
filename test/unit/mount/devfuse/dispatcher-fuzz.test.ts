/**
 * Real requests, damaged in every way that comes to mind, to the dispatcher over the real VFS. Nothing ends the process or is
 * an unforeseen failure; each request that wants an answer gets one; a refused request changes nothing; afterwards
 * everything works.
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { ReplyOutcome } from '../../../../mount/devfuse/channel.ts';
import { Dispatcher } from '../../../../mount/devfuse/dispatcher.ts';
import { IN_HEADER_BYTES, OPCODE } from '../../../../mount/devfuse/protocol/constants.ts';
import { ERRNO } from '../../../../src/base/errno.ts';
import { type Random, seededRandom } from '../../../../src/base/random.ts';
import { TABLE } from '../../../../src/core/namespace/keys.ts';
import {
  cstrings,
  type DecodedReply,
  decodeReply,
  fuseRequest,
  initBody,
  u32s,
  u64s,
} from '../../../support/fuse-requests.ts';
import { lineLogger } from '../../../support/mount-logger.ts';
import { Cluster } from '../../../support/vfs-fixture.ts';

const SEED = Number(process.env['FUZZ_SEED'] ?? 20_260_728);
const ROUNDS = Number(process.env['FUZZ_ROUNDS'] ?? 15);
const REQUESTS_PER_ROUND = 150;
/** Turns after which an answer that has not come is waiting for something, such as a lock. */
const TURNS_MAX = 40;
const UNANSWERED: ReadonlySet<number> = new Set([OPCODE.FORGET, OPCODE.BATCH_FORGET, OPCODE.INTERRUPT]);
const OPENING: ReadonlySet<number> = new Set([OPCODE.OPEN, OPCODE.OPENDIR, OPCODE.CREATE, OPCODE.TMPFILE]);
/** What only a failure of the file system itself says. */
const ALARMING: ReadonlySet<number> = new Set([ERRNO.EIO, ERRNO.ENOMEM, ERRNO.ETIMEDOUT]);

const KNOWN: ReadonlySet<number> = new Set(Object.values(OPCODE));
const FILE_TABLES: ReadonlySet<number> = new Set([
  TABLE.inode,
  TABLE.dentry,
  TABLE.xattrNames,
  TABLE.xattr,
  TABLE.chunk,
  TABLE.chunkPage,
  TABLE.chunkPages,
]);

class Harness {
  readonly cluster = new Cluster();
  readonly mount = this.cluster.mount();
  readonly alarms: string[] = [];
  readonly replies: DecodedReply[] = [];
  readonly dispatcher: Dispatcher;
  #unique = 2;

  constructor() {
    const channel = {
      reply: (pieces: readonly Uint8Array[]): ReplyOutcome => {
        this.replies.push(decodeReply(Buffer.concat(pieces)));
        return 'delivered';
      },
    };
    const logger = lineLogger('warn', (line) => {
      if (!line.includes(`"stack":"MalformedRequest`)) this.alarms.push(line);
    });
    const init = {
      maxWriteBytes: 1 << 20,
      maxReadaheadBytes: 1 << 20,
      maxBackground: 64,
      congestionThreshold: 48,
    };
    this.dispatcher = new Dispatcher(
      { channel, fileSystem: this.mount.vfs, logger },
      { init, entryTimeoutMs: 0, attrTimeoutMs: 1000 },
    );
  }

  nextUnique(): number {
    this.#unique += 2;
    return this.#unique;
  }

  /** Sends, and returns what was answered to this request once its buffer has been given back. */
  async send(bytes: Buffer): Promise<DecodedReply[]> {
    let done = 0;
    this.replies.length = 0;
    this.dispatcher.receive(bytes, () => done++);
    for (let turn = 0; done === 0; turn++) {
      await new Promise((resolve) => setImmediate(resolve));
      if (turn !== TURNS_MAX) continue;
      const interrupted = Number(bytes.readBigUInt64LE(8));
      this.dispatcher.receive(
        fuseRequest(OPCODE.INTERRUPT, u64s(interrupted), { unique: interrupted + 1 }),
        () => {},
      );
    }
    assert.equal(done, 1, 'a request is done once');
    return [...this.replies];
  }

  async ask(opcode: number, body?: Uint8Array, nodeId = 1): Promise<Buffer> {
    const [reply] = await this.send(fuseRequest(opcode, body, { nodeId, unique: this.nextUnique() }));
    assert.equal(reply?.errno, 0);
    return reply.body;
  }

  /** Everything that the cluster stores about files: all rows but those of sessions and counters. */
  state(): string {
    const rows = this.cluster.meta.machine.store.scanSync({ gte: Uint8Array.of(1), lt: Uint8Array.of(0xff) });
    const files = rows.filter(([key]) => FILE_TABLES.has(key[0]!));
    return Buffer.concat(files.flat()).toString('latin1');
  }
}

interface Scene {
  readonly file: number;
  readonly dir: number;
  readonly link: number;
  readonly fileHandle: number;
  readonly dirHandle: number;
}

const write = (handle: number, at: number, data: string): Buffer =>
  Buffer.concat([u64s(handle, at), u32s(data.length, 0), u64s(0), u32s(2, 0), Buffer.from(data)]);
const read = (handle: number, at: number, length: number): Buffer =>
  Buffer.concat([u64s(handle, at), u32s(length, 0), u64s(0), u32s(2, 0)]);
const create = (name: string): Buffer => Buffer.concat([u32s(0o102, 0o644, 0, 0), cstrings(name)]);

async function setScene(h: Harness): Promise<Scene> {
  await h.ask(OPCODE.INIT, initBody());
  const made = await h.ask(OPCODE.CREATE, create('file'));
  const [file, fileHandle] = [Number(made.readBigUInt64LE(0)), Number(made.readBigUInt64LE(128))];
  await h.ask(OPCODE.WRITE, write(fileHandle, 0, 'some content, longer than what is inline'), file);
  await h.ask(
    OPCODE.SETXATTR,
    Buffer.concat([u32s(5, 0, 0, 0), cstrings('user.x'), Buffer.from('value')]),
    file,
  );
  const dir = Number(
    (await h.ask(OPCODE.MKDIR, Buffer.concat([u32s(0o755, 0), cstrings('dir')]))).readBigUInt64LE(0),
  );
  for (const name of ['one', 'two', 'three']) {
    const inner = await h.ask(OPCODE.CREATE, create(name), dir);
    await h.ask(
      OPCODE.RELEASE,
      Buffer.concat([u64s(Number(inner.readBigUInt64LE(128))), u32s(2, 0), u64s(0)]),
    );
  }
  const link = Number((await h.ask(OPCODE.SYMLINK, cstrings('link', 'to/where'))).readBigUInt64LE(0));
  const dirHandle = Number((await h.ask(OPCODE.OPENDIR, u32s(0, 0), dir)).readBigUInt64LE(0));
  return { file, dir, link, fileHandle, dirHandle };
}

type Sample = readonly [opcode: number, body: Buffer, nodeId: number];

/** One of each request, as the kernel would send it; also of those that are not implemented. */
function samples({ file, dir, link, fileHandle, dirHandle }: Scene, turn: number): Sample[] {
  const name = `n${turn}`;
  const lock = Buffer.concat([u64s(fileHandle, 1, 0, 100), u32s(1, 77, 0, 0)]);
  const setattr = (valid: number): Buffer =>
    Buffer.concat([u32s(valid, 0), u64s(fileHandle, 30, 0, 1, 2, 3), u32s(4, 5, 6, 0o600, 0, 1, 2, 0)]);
  const none = Buffer.alloc(0);
  return [
    [OPCODE.LOOKUP, cstrings('file'), 1],
    [OPCODE.FORGET, u64s(1), link],
    [OPCODE.BATCH_FORGET, Buffer.concat([u32s(2, 0), u64s(link, 1, dir, 1)]), 0],
    [OPCODE.GETATTR, Buffer.concat([u32s(1, 0), u64s(fileHandle)]), file],
    [OPCODE.SETATTR, setattr(0o777), file],
    [OPCODE.SETATTR, setattr(0o10), file],
    [OPCODE.READLINK, none, link],
    [OPCODE.SYMLINK, cstrings(name, 'target'), dir],
    [OPCODE.MKNOD, Buffer.concat([u32s(0o100644, 0, 0, 0), cstrings(name)]), dir],
    [OPCODE.MKDIR, Buffer.concat([u32s(0o755, 0), cstrings(name)]), dir],
    [OPCODE.UNLINK, cstrings('one'), dir],
    [OPCODE.RMDIR, cstrings('dir'), 1],
    [OPCODE.RENAME, Buffer.concat([u64s(1), cstrings('two', name)]), dir],
    [OPCODE.RENAME2, Buffer.concat([u64s(1), u32s(1, 0), cstrings('three', name)]), dir],
    [OPCODE.LINK, Buffer.concat([u64s(file), cstrings(name)]), 1],
    [OPCODE.OPEN, u32s(2, 0), file],
    [OPCODE.READ, read(fileHandle, 3, 100), file],
    [OPCODE.WRITE, write(fileHandle, 7, 'written'), file],
    [OPCODE.STATFS, none, 1],
    [OPCODE.FSYNC, Buffer.concat([u64s(fileHandle), u32s(0, 0)]), file],
    [OPCODE.SETXATTR, Buffer.concat([u32s(3, 0, 0, 0), cstrings('user.y'), Buffer.from('abc')]), file],
    [OPCODE.GETXATTR, Buffer.concat([u32s(100, 0), cstrings('user.x')]), file],
    [OPCODE.LISTXATTR, u32s(100, 0), file],
    [OPCODE.REMOVEXATTR, cstrings('user.x'), file],
    [OPCODE.FLUSH, Buffer.concat([u64s(fileHandle), u32s(0, 0), u64s(0)]), file],
    [OPCODE.INIT, initBody(), 0],
    [OPCODE.OPENDIR, u32s(0, 0), dir],
    [OPCODE.READDIR, read(dirHandle, 0, 4096), dir],
    [OPCODE.READDIRPLUS, read(dirHandle, 0, 4096), dir],
    [OPCODE.FSYNCDIR, Buffer.concat([u64s(dirHandle), u32s(0, 0)]), dir],
    [OPCODE.RELEASE, Buffer.concat([u64s(fileHandle), u32s(2, 0), u64s(0)]), file],
    [OPCODE.RELEASEDIR, Buffer.concat([u64s(dirHandle), u32s(0, 0), u64s(0)]), dir],
    [OPCODE.GETLK, lock, file],
    [OPCODE.SETLK, lock, file],
    [OPCODE.SETLKW, lock, file],
    [OPCODE.ACCESS, u32s(4, 0), file],
    [OPCODE.CREATE, create(name), dir],
    [OPCODE.INTERRUPT, u64s(2), 0],
    [OPCODE.BMAP, Buffer.concat([u64s(0), u32s(4096, 0)]), file],
    [OPCODE.IOCTL, Buffer.concat([u64s(fileHandle), u32s(0, 0x5401), u64s(0), u32s(0, 0)]), file],
    [OPCODE.POLL, Buffer.concat([u64s(fileHandle, 1), u32s(0, 1)]), file],
    [OPCODE.FALLOCATE, Buffer.concat([u64s(fileHandle, 10, 20), u32s(3, 0)]), file],
    [OPCODE.LSEEK, Buffer.concat([u64s(fileHandle, 0), u32s(3, 0)]), file],
    [OPCODE.COPY_FILE_RANGE, u64s(fileHandle, 0, file, fileHandle, 20, 5, 0), file],
    [OPCODE.SYNCFS, u64s(0), 1],
    [OPCODE.TMPFILE, create(name), dir],
    [OPCODE.STATX, Buffer.concat([u32s(0, 0), u64s(0), u32s(0, 0x7ff)]), file],
    [OPCODE.DESTROY, none, 0],
  ];
}

const NUMBERS = [
  0n,
  1n,
  7n,
  0x7fff_ffffn,
  0xffff_ffffn,
  10n ** 9n,
  2n ** 40n,
  2n ** 50n,
  2n ** 53n,
  2n ** 63n - 1n,
  2n ** 63n,
  2n ** 64n - 1n,
];

/** Everything goes wrong in one place, at times in several. */
function damage(random: Random, request: Buffer): Buffer {
  let out: Buffer = Buffer.from(request);
  for (let times = 1 + random.below(2); times > 0; times--) out = damageOnce(random, out);
  // Mostly the header tells the truth about the length, so that what comes after it is looked at.
  if (random.below(8) > 0 && out.length >= 4) out.writeUInt32LE(out.length, 0);
  return out;
}

function damageOnce(random: Random, bytes: Buffer): Buffer {
  const out = Buffer.from(bytes);
  const inBody = (): number => IN_HEADER_BYTES + random.below(Math.max(1, out.length - IN_HEADER_BYTES));
  switch (random.below(8)) {
    case 0: // short
      return out.subarray(0, random.below(out.length + 1));
    case 1: // long
      return Buffer.concat([out, random.bytes(1 + random.below(600))]);
    case 2: // some bits of the body
      if (out.length > IN_HEADER_BYTES) out[inBody()]! ^= 1 << random.below(8);
      return out;
    case 3: // some bits of anything
      if (out.length > 0) out[random.below(out.length)]! ^= 1 << random.below(8);
      return out;
    case 4: {
      // an absurd number in a field
      const at = out.length <= IN_HEADER_BYTES ? 0 : inBody() & ~3;
      const value = NUMBERS[random.below(NUMBERS.length)]!;
      if (random.below(2) === 0 && at + 8 <= out.length) out.writeBigUInt64LE(value, at);
      else if (at + 4 <= out.length) out.writeUInt32LE(Number(value & 0xffff_ffffn), at);
      return out;
    }
    case 5: // a string without an end, or with what no name has
      for (let i = IN_HEADER_BYTES; i < out.length; i++) {
        if (random.below(4) === 0) out[i] = [0, 0x2f, 0x2e, 0xff][random.below(4)]!;
      }
      return out;
    case 6: {
      // another request's number, known or not
      const opcodes = [...Object.values(OPCODE), 0, 7, 19, 48, 49, 70, 4096, 0xffff_ffff];
      if (out.length >= 8) out.writeUInt32LE(opcodes[random.below(opcodes.length)]!, 4);
      return out;
    }
    default: // a node that does not exist or is of another kind
      if (out.length >= 24)
        out.writeBigUInt64LE(
          random.below(2) === 0 ? BigInt(random.below(9)) : NUMBERS[random.below(NUMBERS.length)]!,
          16,
        );
      return out;
  }
}

const opcodeOf = (bytes: Buffer): number => (bytes.length >= 8 ? bytes.readUInt32LE(4) : 0);
const isWhole = (bytes: Buffer): boolean =>
  bytes.length >= IN_HEADER_BYTES && bytes.readUInt32LE(0) === bytes.length;
const uniqueOf = (bytes: Buffer): bigint | undefined =>
  bytes.length < 16 ? undefined : bytes.readBigUInt64LE(8);

/** What was answered is what the protocol wants, whatever the request was. */
function checkReplies(bytes: Buffer, replies: readonly DecodedReply[]): void {
  const unique = uniqueOf(bytes);
  const opcode = opcodeOf(bytes);
  assert.ok(replies.length <= 1, `${replies.length} replies`);
  const [reply] = replies;
  if (reply === undefined) {
    const answerable = unique !== undefined && unique <= BigInt(Number.MAX_SAFE_INTEGER);
    const silent = isWhole(bytes) && UNANSWERED.has(opcode);
    assert.ok(!answerable || silent, 'no reply');
    return;
  }
  assert.equal(BigInt(reply.unique), unique);
  assert.ok(!ALARMING.has(reply.errno), `errno ${reply.errno}`);
  if (!isWhole(bytes)) assert.equal(reply.errno, ERRNO.EINVAL);
  else if (!KNOWN.has(opcode)) assert.ok(reply.errno === ERRNO.ENOSYS || reply.errno === ERRNO.EINVAL);
}

async function round(random: Random): Promise<Map<number, number>> {
  const h = new Harness();
  const scene = await setScene(h);
  let handles = 2;
  const errors = new Map<number, number>();
  for (let turn = 0; turn < REQUESTS_PER_ROUND; turn++) {
    const all = samples(scene, turn);
    const [opcode, body, nodeId] = all[random.below(all.length)]!;
    const sample = fuseRequest(opcode, body, { nodeId, unique: h.nextUnique() });
    const bytes = random.below(10) === 0 ? sample : damage(random, sample);
    const before = h.state();
    const what = `request ${turn}: ${bytes.toString('hex').slice(0, 400)}`;
    try {
      const [reply] = await h.send(Buffer.from(bytes)).then((replies) => {
        checkReplies(bytes, replies);
        return replies;
      });
      assert.deepEqual(h.alarms, []);
      const errno = reply?.errno ?? 0;
      errors.set(errno, (errors.get(errno) ?? 0) + 1);
      const sent = isWhole(bytes) ? opcodeOf(bytes) : 0;
      const done = reply !== undefined && errno === 0;
      if (!done) assert.equal(h.state(), before, `errno ${errno}, but something has changed`);
      else if (OPENING.has(sent)) handles++;
      else if (sent === OPCODE.RELEASE || sent === OPCODE.RELEASEDIR) handles--;
      assert.equal(h.mount.vfs.stats().handles, handles);
    } catch (error) {
      throw new Error(`${String(error)}\n${what}`, { cause: error });
    }
  }
  await h.dispatcher.idle();
  await checkWorks(h);
  return errors;
}

/** An ordinary file's life. */
async function checkWorks(h: Harness): Promise<void> {
  const made = await h.ask(OPCODE.CREATE, create('afterwards'));
  const [ino, handle] = [Number(made.readBigUInt64LE(0)), Number(made.readBigUInt64LE(128))];
  await h.ask(OPCODE.WRITE, write(handle, 0, 'as if nothing had been'), ino);
  assert.equal((await h.ask(OPCODE.READ, read(handle, 3, 100), ino)).toString(), 'if nothing had been');
  await h.ask(OPCODE.FSYNC, Buffer.concat([u64s(handle), u32s(0, 0)]), ino);
  await h.ask(OPCODE.RELEASE, Buffer.concat([u64s(handle), u32s(2, 0), u64s(0)]), ino);
  await h.ask(OPCODE.UNLINK, cstrings('afterwards'));
}

it('damaged requests are refused and change nothing', async () => {
  const total = new Map<number, number>();
  for (let i = 0; i < ROUNDS; i++) {
    const errors = await round(seededRandom(SEED + i)).catch((error: unknown) => {
      throw new Error(`${String(error)}\nFUZZ_SEED=${SEED + i} FUZZ_ROUNDS=1`, { cause: error });
    });
    for (const [errno, count] of errors) total.set(errno, (total.get(errno) ?? 0) + count);
  }
  // The damage was of all kinds, and not everything was beyond repair.
  for (const errno of [0, ERRNO.EINVAL, ERRNO.ENOSYS, ERRNO.EBADF])
    assert.ok((total.get(errno) ?? 0) > 0, `${errno}`);
});

it('a read of an absurd length is refused, however large the file', async () => {
  const h = new Harness();
  const { file, fileHandle } = await setScene(h);
  const grow = Buffer.concat([u32s(8, 0), u64s(0, 2 ** 49, 0, 0, 0, 0), u32s(0, 0, 0, 0, 0, 0, 0, 0)]);
  await h.ask(OPCODE.SETATTR, grow, file);
  const request = (length: number): Buffer =>
    fuseRequest(OPCODE.READ, read(fileHandle, 0, length), { nodeId: file, unique: h.nextUnique() });
  assert.equal((await h.send(request(0xffff_ffff)))[0]!.errno, ERRNO.EINVAL);
  assert.equal((await h.send(request(1 << 20)))[0]!.body.length, 1 << 20);
});
