/** Random system calls, the same on the local disk and on a mount: every result, errno, content and attribute is compared. */
import assert from 'node:assert/strict';
import { constants } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { type Answer, CompiledAgent, SyscallAgent } from '../support/syscall-agent.ts';
import { TestCluster } from '../support/test-cluster.ts';

/** A system call; `FD` and `OTHER_FD` stand for two of the open descriptors, which may be one. */
interface Call {
  readonly words: readonly (string | number)[];
  readonly pick?: number;
  readonly data?: Uint8Array;
}
const FD = 'FD';
const OTHER_FD = 'OTHER_FD';

const { O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_TRUNC, O_APPEND, O_DIRECTORY, O_NOFOLLOW } = constants;
const path = fc.constantFrom(
  'a',
  'b',
  'd',
  'd/a',
  'd/b',
  'd/e',
  'd/e/a',
  'e',
  'l',
  'l/a',
  'd/',
  '.',
  'd/..',
  'n'.repeat(256),
);
/** Not among the constants of Node: with the bit of O_DIRECTORY. */
const O_TMPFILE = 0o20000000 | O_DIRECTORY;
/** Of fallocate: plain, KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE, each with and without KEEP_SIZE. */
const fallocateMode = fc.constantFrom(0, 1, 2, 3, 16, 17);
const target = fc.constantFrom('a', 'd', 'l', 'e/a', 'missing', '../d', '.');
const attribute = fc.constantFrom('user.one', 'user.two', 'none.such');
const size = fc.oneof(fc.nat(30), fc.nat(20_000));
const bytes = fc.uint8Array({ maxLength: 300 });
const pick = fc.nat(20);
const flags = fc
  .tuple(
    fc.constantFrom(O_RDONLY, O_WRONLY, O_RDWR, O_RDWR),
    fc.subarray([O_CREAT, O_EXCL, O_TRUNC, O_APPEND, O_NOFOLLOW]),
    fc.constantFrom(0, 0, 0, O_DIRECTORY),
  )
  // O_CREAT with O_DIRECTORY means something else in each version of Linux.
  .map(
    ([access, more, dir]) =>
      access | more.reduce((sum, flag) => sum | flag, 0) | (more.includes(O_CREAT) ? 0 : dir),
  );

type Word = fc.Arbitrary<string | number>;
const call = (...words: (string | number | Word)[]): fc.Arbitrary<Call> =>
  fc
    .tuple(...words.map((word) => (typeof word === 'object' ? word : fc.constant(word))), pick)
    .map((all) => ({ words: all.slice(0, -1), pick: all.at(-1) as number }));
const callWithData = (...words: (string | number | Word)[]): fc.Arbitrary<Call> =>
  fc.tuple(call(...words), bytes).map(([made, data]) => ({ ...made, data }));

const seconds = fc.nat(1000);
const calls: fc.Arbitrary<Call> = fc.oneof(
  { weight: 4, arbitrary: call('open', path, flags, 0o640) },
  { weight: 2, arbitrary: call('open', path, O_RDWR | O_CREAT, 0o640) },
  { weight: 2, arbitrary: call('close', FD) },
  { weight: 2, arbitrary: call('pread', FD, size, size) },
  call('read', FD, size),
  { weight: 2, arbitrary: callWithData('pwrite', FD, size) },
  { weight: 2, arbitrary: callWithData('write', FD) },
  // SEEK_SET, SEEK_CUR, SEEK_END
  call('lseek', FD, size, fc.nat(2)),
  call('ftruncate', FD, size),
  call('fallocate', FD, fallocateMode, size, size),
  call('copyrange', FD, size, OTHER_FD, size, size),
  call('open', fc.constantFrom('.', 'd', 'd/e', 'e', 'a'), O_RDWR | O_TMPFILE, 0o640),
  call('fsync', FD),
  call('fstat', FD),
  call('truncate', path, size),
  { weight: 2, arbitrary: call('mkdir', path, 0o755) },
  call('rmdir', path),
  { weight: 2, arbitrary: call('unlink', path) },
  { weight: 3, arbitrary: call('rename', path, path, fc.constantFrom(0, 0, 1, 2)) },
  call('link', path, path),
  call('symlink', target, path),
  call('readlink', path),
  // A FIFO and a socket
  call('mknod', path, fc.constantFrom(0o010640, 0o140640), 0),
  call('chmod', path, fc.nat(0o7777)),
  call('lchown', path, fc.nat(2), fc.nat(2)),
  call('utimes', path, seconds, fc.nat(999_999_999), seconds, fc.nat(999_999_999)),
  callWithData('setxattr', path, attribute, fc.nat(2)),
  call('getxattr', path, attribute, fc.constantFrom(0, 5, 1000)),
  call('listxattr', path, fc.constantFrom(0, 5, 1000)),
  call('removexattr', path, attribute),
  call('readdir', path),
  call('stat', path),
  { weight: 2, arbitrary: call('lstat', path) },
);

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
/** Times before this were set by a step; later ones are the present, which is never the same twice. */
const PRESENT_SEC = 1_000_000_000;

/** What of an answer POSIX defines. */
function comparable([op]: readonly (string | number)[], { result, errno, data }: Answer): unknown {
  if (errno !== '') return errno;
  switch (op) {
    case 'stat':
    case 'lstat':
    case 'fstat': {
      const [mode, nlink, uid, gid, bytesLong, , , rdev, , mtime] = data.toString().split(' ');
      const isDir = (Number(mode) & S_IFMT) === S_IFDIR;
      const setTime = Number(mtime) < PRESENT_SEC ? mtime : 'the present';
      // What a directory's size and links are is up to the file system.
      return { mode: Number(mode).toString(8), uid, gid, rdev, setTime, ...(!isDir && { nlink, bytesLong }) };
    }
    case 'readdir':
      return data.toString().split('\n').sort();
    case 'listxattr':
      // Security modules of the machine add names of theirs to files of the local disk only.
      return data.length === 0 ? result : data.toString().split('\0').sort();
    default:
      return { result, data: data.toString('latin1') };
  }
}

/** The same call, as far as fuse-native can express it: mount/fuse-native/LIMITS.md. */
function withinLimits({ words, ...rest }: Call): Call | undefined {
  const [op, ...args] = words;
  if (op === 'fallocate' || (op === 'open' && (Number(args[1]) & O_TMPFILE) === O_TMPFILE)) return undefined;
  if (op === 'rename') return { words: [op, args[0]!, args[1]!, 0], ...rest };
  const wholeMs = (nanoseconds: string | number): number =>
    Number(nanoseconds) - (Number(nanoseconds) % 1_000_000);
  if (op === 'utimes')
    return { words: [op, args[0]!, args[1]!, wholeMs(args[2]!), args[3]!, wholeMs(args[4]!)], ...rest };
  return { words, ...rest };
}
/** An open file that loses its name is renamed by libfuse until it is closed. */
const TAKES_NAMES: ReadonlySet<string | number | undefined> = new Set(['unlink', 'rename', 'rmdir']);

interface Sides {
  readonly local: string;
  readonly mounted: string;
}

class Comparison {
  readonly #agents: readonly SyscallAgent[];
  #open: number[] = [];

  constructor(compiled: CompiledAgent, sides: Sides) {
    this.#agents = [new SyscallAgent(compiled, sides.local), new SyscallAgent(compiled, sides.mounted)];
  }

  async #both(words: readonly (string | number)[], data?: Uint8Array): Promise<Answer> {
    const [local, mounted] = await Promise.all(this.#agents.map((agent) => agent.call(words, data)));
    assert.deepEqual(comparable(words, mounted!), comparable(words, local!), words.join(' '));
    return local!;
  }

  async take({ words, pick = 0, data }: Call): Promise<void> {
    const [op] = words;
    const needsFd = words.includes(FD);
    if (needsFd && this.#open.length === 0) return;
    const fd = this.#open[pick % this.#open.length];
    const other = this.#open[(pick * 7 + 3) % this.#open.length];
    const { result, errno } = await this.#both(
      words.map((word) => (word === FD ? fd! : word === OTHER_FD ? other! : word)),
      data,
    );
    if (errno !== '') return;
    if (op === 'open') this.#open.push(result);
    if (op === 'close') this.#open = this.#open.filter((kept) => kept !== fd);
  }

  async closeAll(): Promise<void> {
    for (const fd of this.#open.splice(0)) await this.#both(['close', fd]);
  }

  /** Everything that is there, on both sides. */
  async compareTree(dir = '.'): Promise<void> {
    const { data } = await this.#both(['readdir', dir]);
    await this.#both(['lstat', dir]);
    for (const line of data.toString().split('\n')) {
      const [name, type] = line.split('/');
      if (name === '' || name === '.' || name === '..') continue;
      const at = join(dir, name!);
      if (Number(type) === 4) await this.compareTree(at);
      else await this.#compareFile(at, Number(type));
    }
  }

  async #compareFile(at: string, type: number): Promise<void> {
    await this.#both(['lstat', at]);
    if (type === 10) await this.#both(['readlink', at]);
    if (type !== 8) return;
    const { result } = await this.#both(['open', at, O_RDONLY, 0]);
    await this.#both(['pread', result, 0, 100_000]);
    await this.#both(['close', result]);
    for (const name of ['user.one', 'user.two']) await this.#both(['getxattr', at, name, 1000]);
  }

  async end(): Promise<void> {
    for (const agent of this.#agents) await agent.end();
  }
}

let compiled: CompiledAgent;
let scratch = '';
before(async () => {
  compiled = new CompiledAgent();
  scratch = await mkdtemp(join(tmpdir(), 'ringfs-tree-'));
});
after(async () => {
  compiled[Symbol.dispose]();
  await rm(scratch, { recursive: true });
});

let runs = 0;
async function compare(mount: string, driver: string): Promise<void> {
  const limited = driver === 'fuse-native';
  await fc.assert(
    fc.asyncProperty(fc.array(calls, { minLength: 1, maxLength: 50 }), async (steps) => {
      const name = `tree-${runs++}`;
      const [local, mounted] = [join(scratch, name), join(mount, name)];
      for (const dir of [local, mounted]) await mkdir(dir);
      const comparison = new Comparison(compiled, { local, mounted });
      try {
        for (const step of steps) {
          if (limited && TAKES_NAMES.has(step.words[0])) await comparison.closeAll();
          const call = limited ? withinLimits(step) : step;
          if (call !== undefined) await comparison.take(call);
        }
        await comparison.compareTree();
      } finally {
        await comparison.end();
        for (const dir of [local, mounted]) await rm(dir, { recursive: true });
      }
    }),
    // A long hunt: TREE_RUNS=10000 and another TREE_SEED.
    { numRuns: Number(process.env['TREE_RUNS'] ?? 40), seed: Number(process.env['TREE_SEED'] ?? 20_260_728) },
  );
}

for (const driver of ['devfuse', 'fuse-native']) {
  describe(`random system calls on a cluster mounted with ${driver}`, () => {
    let cluster: TestCluster;
    before(async () => {
      cluster = await TestCluster.start('--driver', driver);
    });
    after(() => cluster.remove());

    it('give what they give on the local disk', () => compare(cluster.mount, driver));
  });
}
