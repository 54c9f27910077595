import assert from 'node:assert/strict';
import { constants } from 'node:fs';
import {
  link,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rmdir,
  stat,
  symlink,
  truncate,
  unlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { defined } from '../../src/base/assert.ts';
import { type Capability, pattern, python, sameBytes } from './posix-case.ts';
import { PYTHON_PRELUDE } from './python-case.ts';

/** A property of several mounts of one filesystem. */
export interface CrossMountCase {
  readonly name: string;
  readonly needs?: readonly Capability[];
  /** `dirs` are one empty directory, as at least two mounts show it. */
  run(dirs: readonly string[]): Promise<void>;
}

/** Reads or changes on one mount, then looks on the other without waiting; `other` has everything cached before. */
const VISIBLE_AT_ONCE = `
a, b = sys.argv[1], sys.argv[2]
for round in range(int(sys.argv[3])):
    a, b = b, a
    A, B = (lambda n: a + "/" + n), (lambda n: b + "/" + n)
    def warm():
        for n in os.listdir(b):
            os.lstat(B(n))
            try: os.listxattr(B(n), follow_symlinks=False)
            except OSError as e: assert e.errno in (errno.EPERM, errno.ENOTSUP), e
        fails(errno.ENOENT, os.stat, B("absent"))
    warm(); fails(errno.ENOENT, os.stat, B("f")); write_file(A("f"), b"12345")
    assert os.stat(B("f")).st_size == 5 and read_file(B("f")) == b"12345"
    warm(); os.chmod(A("f"), 0o640)
    assert stat.S_IMODE(os.stat(B("f")).st_mode) == 0o640
    warm(); os.utime(A("f"), ns=(1_001_000_000, 2_002_000_000))
    assert os.stat(B("f")).st_mtime_ns == 2_002_000_000 and os.stat(B("f")).st_atime_ns == 1_001_000_000
    warm(); os.truncate(A("f"), 3)
    assert os.stat(B("f")).st_size == 3 and read_file(B("f")) == b"123"
    warm(); os.truncate(A("f"), 6)
    assert os.stat(B("f")).st_size == 6 and read_file(B("f")) == b"123\\0\\0\\0"
    warm(); os.link(A("f"), A("hard"))
    assert os.stat(B("f")).st_nlink == 2 == os.stat(B("hard")).st_nlink and os.stat(B("f")).st_ino == os.stat(B("hard")).st_ino
    warm(); os.setxattr(A("f"), "user.x", b"one")
    assert os.getxattr(B("hard"), "user.x") == b"one" and os.listxattr(B("f")) == ["user.x"]
    warm(); os.setxattr(A("hard"), "user.x", b"two")
    assert os.getxattr(B("f"), "user.x") == b"two"
    warm(); os.removexattr(A("f"), "user.x")
    fails(errno.ENODATA, os.getxattr, B("f"), "user.x")
    assert os.listxattr(B("f")) == []
    warm(); os.symlink("f", A("s"))
    assert os.readlink(B("s")) == "f" and os.stat(B("s")).st_size == 6
    warm(); os.mkdir(A("d"), 0o750)
    assert os.listdir(B("d")) == [] and stat.S_IMODE(os.stat(B("d")).st_mode) == 0o750
    warm(); os.rename(A("f"), A("d/g"))
    fails(errno.ENOENT, os.stat, B("f"))
    fails(errno.ENOENT, os.stat, B("s"))
    assert os.listdir(B("d")) == ["g"] and os.stat(B("d/g")).st_nlink == 2
    warm(); write_file(A("t"), b"target"); assert read_file(B("t")) == b"target"; os.rename(A("t"), A("hard"))
    assert read_file(B("hard")) == b"target" and os.stat(B("d/g")).st_nlink == 1
    fails(errno.ENOENT, os.stat, B("t"))
    warm(); fails(errno.ENOTEMPTY, os.rmdir, B("d")); os.unlink(A("d/g"))
    assert os.listdir(B("d")) == []
    fails(errno.ENOENT, os.open, B("d/g"), os.O_RDONLY)
    warm(); os.rename(A("d"), A("e"))
    assert sorted(os.listdir(b)) == ["e", "hard", "s"]
    warm(); os.rmdir(A("e"))
    fails(errno.ENOENT, os.stat, B("e"))
    os.mkdir(B("e")); os.rmdir(A("e"))
    warm(); os.mkfifo(A("p")); assert stat.S_ISFIFO(os.lstat(B("p")).st_mode)
    if os.geteuid() == 0:
        warm(); os.chown(A("hard"), 12, 34); assert (os.stat(B("hard")).st_uid, os.stat(B("hard")).st_gid) == (12, 34)
    for n in ("p", "s", "hard"): os.unlink(A(n))
    assert os.listdir(b) == []
`;

const MAPPED = `
a, b = sys.argv[1], sys.argv[2]
write_file(a + "/m", b"a" * 50_000)
def mapped(path):
    fd = os.open(path, os.O_RDONLY)
    m = mmap.mmap(fd, 50_000, prot=mmap.PROT_READ)
    os.close(fd)
    try: return m[:]
    finally: m.close()
for round in range(20):
    a, b = b, a
    assert mapped(b + "/m") == read_file(a + "/m")
    fd = os.open(a + "/m", os.O_RDWR)
    m = mmap.mmap(fd, 50_000)
    m[round * 100:round * 100 + 4] = b"%04d" % round
    if round % 2: m.flush()
    m.close()
    if round % 3 == 0: os.fsync(fd)
    os.close(fd)
    assert mapped(b + "/m")[round * 100:round * 100 + 4] == b"%04d" % round, round
    assert read_file(b + "/m") == read_file(a + "/m")
`;

async function pythonOn(dirs: readonly string[], program: string, ...args: string[]): Promise<void> {
  await python(PYTHON_PRELUDE + program, '/', [...dirs.slice(0, 2), ...args]);
}

/** The directory of mount `i`, counted around. */
function at(dirs: readonly string[], i: number): string {
  return defined(dirs[i % dirs.length], 'a mount');
}

/**
 * Every mount appends records of odd sizes to one file through `writers` descriptors each. Every record must be in the file once, in
 * one piece, and those of one writer in their order. Also called while servers die.
 */
export async function appendFromAll(
  dirs: readonly string[],
  { writers, records, longest = 3000 }: { writers: number; records: number; longest?: number },
): Promise<void> {
  const record = (writer: number, i: number): Buffer => {
    const body = pattern(1 + ((i * 7919 + writer * 104_729) % longest), writer * records + i + 1);
    const header = `<${String(writer).padStart(3, '0')} ${String(i).padStart(6, '0')} ${String(body.length).padStart(7, '0')}>`;
    return Buffer.concat([Buffer.from(header), body]);
  };
  const count = dirs.length * writers;
  await Promise.all(
    Array.from({ length: count }, async (_, writer) => {
      const file = await open(join(at(dirs, writer), 'log'), 'a');
      for (let i = 0; i < records; i++) {
        const data = record(writer, i);
        assert.equal((await file.write(data)).bytesWritten, data.length);
        if (i % 16 === writer % 16) await file.sync();
      }
      await file.close();
    }),
  );
  const contents = await Promise.all(dirs.map((dir) => readFile(join(dir, 'log'))));
  for (const content of contents)
    sameBytes(content, defined(contents[0], 'a content'), 'the log on two mounts');
  const log = defined(contents[0], 'a content');
  const next = new Array<number>(count).fill(0);
  let position = 0;
  while (position < log.length) {
    const header = log.toString('latin1', position, position + 20);
    const match = /^<(\d{3}) (\d{6}) \d{7}>$/.exec(header);
    assert.ok(match, `no record begins at ${position}: ${JSON.stringify(header)}`);
    const [writer, i] = [Number(match[1]), Number(match[2])];
    assert.equal(i, next[writer], `the order of writer ${writer}, at ${position}`);
    next[writer] = i + 1;
    const expected = record(writer, i);
    sameBytes(log.subarray(position, position + expected.length), expected, `record ${header}`);
    position += expected.length;
  }
  assert.deepEqual(next, new Array<number>(count).fill(records));
}

type Contest = (dirs: readonly string[], name: string) => Promise<PromiseSettledResult<unknown>[]>;

function allAtOnce(
  dirs: readonly string[],
  one: (dir: string, i: number) => Promise<unknown>,
): Promise<PromiseSettledResult<unknown>[]> {
  return Promise.allSettled(dirs.map((dir, i) => one(dir, i)));
}

/** Ways for mounts to fight for one name; whoever succeeds alone is the winner. All losers must get `code`. */
const CONTESTS: readonly { readonly kind: string; readonly code: string; readonly fight: Contest }[] = [
  {
    kind: 'exclusive creation',
    code: 'EEXIST',
    fight: (dirs, name) => allAtOnce(dirs, (dir, i) => writeFile(join(dir, name), String(i), { flag: 'wx' })),
  },
  { kind: 'mkdir', code: 'EEXIST', fight: (dirs, name) => allAtOnce(dirs, (dir) => mkdir(join(dir, name))) },
  {
    kind: 'symlink',
    code: 'EEXIST',
    fight: (dirs, name) => allAtOnce(dirs, (dir, i) => symlink(String(i), join(dir, name))),
  },
  {
    kind: 'link',
    code: 'EEXIST',
    fight: async (dirs, name) => {
      await Promise.all(dirs.map((dir, i) => writeFile(join(dir, `own-${i}`), String(i))));
      return allAtOnce(dirs, (dir, i) => link(join(dir, `own-${i}`), join(dir, name)));
    },
  },
  {
    kind: 'rename of one name away',
    code: 'ENOENT',
    fight: async (dirs, name) => {
      await writeFile(join(at(dirs, 0), `${name}-from`), 'x');
      return allAtOnce(dirs, (dir, i) => rename(join(dir, `${name}-from`), join(dir, `${name}-by-${i}`)));
    },
  },
  {
    kind: 'unlink',
    code: 'ENOENT',
    fight: async (dirs, name) => {
      await writeFile(join(at(dirs, 1), name), 'x');
      return allAtOnce(dirs, (dir) => unlink(join(dir, name)));
    },
  },
  {
    kind: 'rmdir',
    code: 'ENOENT',
    fight: async (dirs, name) => {
      await mkdir(join(at(dirs, 1), name));
      return allAtOnce(dirs, (dir) => rmdir(join(dir, name)));
    },
  },
];

/** Exactly one mount wins every contest, in every round. Also called while servers die. */
export async function contend(dirs: readonly string[], rounds: number): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    const { kind, code, fight } = defined(CONTESTS[round % CONTESTS.length], 'a contest');
    const results = await fight(dirs, `round-${round}`);
    const what = `round ${round}, ${kind}`;
    const winners = results.flatMap(({ status }, i) => (status === 'fulfilled' ? [i] : []));
    const errors = results.flatMap((result) =>
      result.status === 'rejected' ? [(result.reason as NodeJS.ErrnoException).code] : [],
    );
    assert.equal(winners.length, 1, `${what}: winners ${winners}, errors ${errors}`);
    assert.deepEqual(errors, new Array<string>(dirs.length - 1).fill(code), what);
    if (kind === 'exclusive creation' || kind === 'link') {
      for (const dir of dirs) {
        assert.equal(await readFile(join(dir, `round-${round}`), 'utf8'), String(winners[0]), what);
      }
    }
  }
  const listings = await Promise.all(dirs.map(async (dir) => (await readdir(dir)).sort()));
  for (const listing of listings) assert.deepEqual(listing, listings[0]);
}

/** Renames over one target from all mounts: each succeeds, the last one's content stays, nothing else does. */
async function replaceFromAll(dirs: readonly string[], rounds: number): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    await Promise.all(
      dirs.map(async (dir, i) => {
        await writeFile(join(dir, `.new-${i}`), `${round} ${i} `.repeat(i * 2000 + 1));
        await rename(join(dir, `.new-${i}`), join(dir, 'config'));
      }),
    );
    const contents = await Promise.all(dirs.map((dir) => readFile(join(dir, 'config'), 'utf8')));
    const winner = Number(contents[0]?.split(' ')[1]);
    for (const content of contents) assert.equal(content, `${round} ${winner} `.repeat(winner * 2000 + 1));
    assert.deepEqual(await readdir(at(dirs, round)), ['config']);
  }
}

async function closeToOpen(dirs: readonly string[], rounds: number): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    const content = pattern(1 + ((round * 48_611) % 200_000), round + 1);
    const path = (i: number): string => join(at(dirs, i), 'shared');
    const file = await open(path(round), round % 3 === 0 ? 'r+' : 'w').catch(() => open(path(round), 'w'));
    if (round % 3 === 0) await file.truncate(0);
    await file.write(content, 0, content.length, 0);
    if (round % 2 === 0) await file.sync();
    else await file.close();
    for (let i = 1; i < dirs.length; i++) {
      assert.equal((await stat(path(round + i))).size, content.length, `size in round ${round}`);
      sameBytes(await readFile(path(round + i)), content, `round ${round}`);
    }
    if (round % 2 === 0) await file.close();
  }
}

async function removedWhileOpen(dirs: readonly string[]): Promise<void> {
  const [here, there] = [at(dirs, 0), at(dirs, 1)];
  for (const [i, size] of [100, 100_000, 5_000_000].entries()) {
    await writeFile(join(here, 'f'), pattern(size, i));
    const reader = await open(join(there, 'f'), 'r+');
    if (i % 2 === 0) await unlink(join(here, 'f'));
    else {
      await writeFile(join(here, 'g'), 'another');
      await rename(join(here, 'g'), join(here, 'f'));
    }
    const named = await stat(join(there, 'f')).catch((error: NodeJS.ErrnoException) => error.code);
    if (i % 2 === 0) assert.equal(named, 'ENOENT');
    else assert.ok(typeof named === 'object' && named.size === 7);
    const read = Buffer.alloc(size + 10);
    assert.equal((await reader.read(read, 0, size + 10, 0)).bytesRead, size);
    sameBytes(read.subarray(0, size), pattern(size, i), 'removed on the other mount');
    await reader.write('still written', size);
    await reader.sync();
    const tail = Buffer.alloc(13);
    await reader.read(tail, 0, 13, size);
    assert.equal(tail.toString(), 'still written');
    assert.equal((await reader.stat()).nlink, 0);
    await reader.close();
    if (i % 2 !== 0) await unlink(join(there, 'f'));
  }
  assert.deepEqual(await readdir(there), []);
}

/** Every mount writes its own stripes of one file; all of them are there in the end. */
async function disjointWriters(dirs: readonly string[], stripeBytes: number, stripes: number): Promise<void> {
  await writeFile(join(at(dirs, 0), 'striped'), '');
  await Promise.all(
    dirs.map(async (dir, mount) => {
      const file = await open(join(dir, 'striped'), 'r+');
      for (let i = mount; i < stripes; i += dirs.length) {
        await file.write(pattern(stripeBytes, i), 0, stripeBytes, i * stripeBytes);
        if (i % 5 === 0) await file.sync();
      }
      await file.close();
    }),
  );
  const expected = Buffer.concat(Array.from({ length: stripes }, (_, i) => pattern(stripeBytes, i)));
  for (const dir of dirs) sameBytes(await readFile(join(dir, 'striped')), expected, 'stripes');
}

/**
 * One mount rewrites a file by truncation, growth and one write, each generation filled with its own byte. Who reads it with one
 * request sees the bytes of one generation and zeros, and a size that it had. Linux promises that of no page cache, only
 * that no byte is anything else, so other file systems are read with `flags` 0 and held to that.
 */
async function readersDuringTruncation(
  dirs: readonly string[],
  rounds: number,
  flags: number,
): Promise<void> {
  const size = 60_000;
  await writeFile(join(at(dirs, 0), 'f'), Buffer.alloc(size, 1));
  let done = false;
  const readers = dirs.slice(1).map(async (dir) => {
    let reads = 0;
    while (!done || reads === 0) {
      const file = await open(join(dir, 'f'), constants.O_RDONLY | flags);
      const buffer = Buffer.alloc(size + 1, 0xff);
      const { bytesRead } = await file.read(buffer, 0, size + 1, 0);
      await file.close();
      const values = new Set(buffer.subarray(0, bytesRead));
      values.delete(0);
      reads++;
      assert.ok(!values.has(0xff) && bytesRead <= size);
      if (flags === 0) continue;
      assert.ok(bytesRead === 0 || bytesRead === size / 2 || bytesRead === size, `${bytesRead} bytes read`);
      assert.ok(values.size <= 1, `bytes of generations ${[...values]} in one read`);
    }
  });
  const writing = (async () => {
    for (let round = 2; round < rounds + 2; round++) {
      const path = join(at(dirs, 0), 'f');
      await truncate(path, size / 2);
      await truncate(path, 0);
      await truncate(path, size);
      const file = await open(path, constants.O_WRONLY);
      await file.write(Buffer.alloc(size, (round % 250) + 1), 0, size, 0);
      await file.close();
    }
  })().finally(() => {
    done = true;
  });
  await Promise.all([writing, ...readers]);
}

/** `scale` 1 takes seconds. `wholeReads` if a read of an O_DIRECT descriptor shows one moment of a file. */
export function crossMountCases(
  scale: number,
  { wholeReads }: { readonly wholeReads: boolean },
): readonly CrossMountCase[] {
  return [
    { name: 'close-to-open, around all mounts', run: (dirs) => closeToOpen(dirs, 20 * scale) },
    {
      name: 'every change of names and attributes is seen by the other mount at once',
      run: (dirs) => pythonOn(dirs, VISIBLE_AT_ONCE, String(4 * scale)),
    },
    {
      name: 'who maps a file after the close of another mount sees its stores',
      run: (dirs) => pythonOn(dirs, MAPPED),
    },
    {
      name: 'a file removed or replaced on one mount stays with who has it open on another',
      needs: ['unlinked-open'],
      run: removedWhileOpen,
    },
    {
      name: 'concurrent O_APPEND of all mounts loses, repeats and tears nothing',
      needs: ['whole-appends'],
      run: (dirs) => appendFromAll(dirs, { writers: 2, records: 60 * scale }),
    },
    {
      name: 'appended records of up to a mebibyte stay whole',
      needs: ['whole-appends'],
      run: (dirs) => appendFromAll(dirs, { writers: 1, records: 6 * scale, longest: 1_000_000 }),
    },
    { name: 'contests for a name have exactly one winner', run: (dirs) => contend(dirs, 140 * scale) },
    { name: 'of renames over one name the last stays', run: (dirs) => replaceFromAll(dirs, 10 * scale) },
    {
      name: 'writers of disjoint small ranges all land',
      run: (dirs) => disjointWriters(dirs, 777, 90 * scale),
    },
    {
      name: 'writers of disjoint large ranges all land',
      run: (dirs) => disjointWriters(dirs, 700_001, 12 * scale),
    },
    {
      name: 'readers during truncation and rewriting see no mixture',
      run: (dirs) => readersDuringTruncation(dirs, 25 * scale, wholeReads ? constants.O_DIRECT : 0),
    },
  ];
}
