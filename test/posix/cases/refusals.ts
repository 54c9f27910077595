import assert from 'node:assert/strict';
import { link, mkdir, open, rename, rmdir, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execute, type PosixCase, python, rejectsWith, shell } from '../posix-case.ts';

/** What pjdfstest tests on other systems only, and what it tolerates on Linux. */

/** `fails(code, f, ...)` for the programs below; the names of `errno` are there. */
const FAILS = `
import os, sys
from errno import *
def fails(code, f, *a):
    try:
        r = f(*a)
    except OSError as e:
        assert e.errno == code, (f, a, errorcode[e.errno], "instead of", errorcode[code])
        return
    raise AssertionError((f, a, "gave", r, "instead of", errorcode[code]))
`;

/** Each line is one rule of Linux about a file system that is mounted read-only, here a read-only view of the directory. */
const READ_ONLY = `${FAILS}
os.chdir("view")
before = os.stat("f")
assert os.read(os.open("f", os.O_RDONLY), 10) == b"content"
assert os.read(os.open("f", os.O_RDONLY | os.O_CREAT, 0o644), 10) == b"content"
assert sorted(os.listdir(".")) == ["d", "f", "s"]
fails(EROFS, os.open, "f", os.O_WRONLY)
fails(EROFS, os.open, "f", os.O_RDWR)
fails(EROFS, os.open, "f", os.O_RDONLY | os.O_TRUNC)
fails(EROFS, os.open, "new", os.O_RDONLY | os.O_CREAT, 0o644)
fails(EROFS, os.open, "new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
fails(EEXIST, os.open, "f", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
fails(EROFS, os.mkdir, "new")
fails(EEXIST, os.mkdir, "d")
fails(EROFS, os.mkfifo, "new")
fails(EROFS, os.mknod, "new", 0o600 | 0o060000, os.makedev(1, 2))
fails(EROFS, os.symlink, "x", "new")
fails(EROFS, os.link, "f", "new")
fails(EROFS, os.rename, "f", "new")
fails(EROFS, os.unlink, "f")
fails(EROFS, os.rmdir, "d")
fails(EROFS, os.truncate, "f", 0)
fails(EROFS, os.chmod, "f", 0o600)
fails(EROFS, os.chown, "f", 1, 1)
fails(EROFS, os.lchown, "s", 1, 1)
fails(EROFS, os.utime, "f")
fails(EROFS, os.setxattr, "f", "user.a", b"1")
assert not os.access("f", os.W_OK) and os.access("f", os.R_OK)
after = os.stat("f")
assert before == after, (before, after)
`;

/** A view of the directory itself, an empty file system, and a mounted-over directory and file. */
const OTHER_MOUNTS = `${FAILS}
fails(EXDEV, os.link, "f", "other/f")
fails(EXDEV, os.rename, "f", "other/f")
fails(EXDEV, os.rename, "d", "other/d")
fails(EXDEV, os.link, "f", "view/g")
fails(EXDEV, os.rename, "f", "view/g")
fails(EBUSY, os.rmdir, "other")
fails(EBUSY, os.rename, "other", "moved")
fails(EBUSY, os.rename, "d", "other")
fails(EBUSY, os.unlink, "covered")
fails(EBUSY, os.rename, "covered", "moved")
fails(EBUSY, os.rename, "f", "covered")
assert sorted(os.listdir(".")) == ["covered", "d", "f", "other", "view"], os.listdir(".")
assert open("f").read() == "content"
`;

const EXECUTED = `${FAILS}
import subprocess
running = subprocess.Popen(["./s", "60"])
while os.readlink("/proc/%d/exe" % running.pid) != os.path.realpath("s"):
    pass
size = os.stat("s").st_size
fails(ETXTBSY, os.open, "s", os.O_WRONLY)
fails(ETXTBSY, os.open, "s", os.O_RDWR)
fails(ETXTBSY, os.open, "s", os.O_RDWR | os.O_TRUNC)
fails(ETXTBSY, os.open, "s", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o755)
fails(ETXTBSY, os.truncate, "s", 0)
assert os.stat("s").st_size == size
os.close(os.open("s", os.O_RDONLY))
os.chmod("s", 0o700)
os.rename("s", "t")
os.unlink("t")
running.kill()
running.wait()
`;

const OPEN_FOR_WRITING = `${FAILS}
fd = os.open("s", os.O_WRONLY)
fails(ETXTBSY, os.execv, "./s", ["./s", "0"])
os.close(fd)
assert os.spawnv(os.P_WAIT, "./s", ["./s", "0"]) == 0
`;

const OPEN_DIRECTORY = `${FAILS}
os.mkdir("d")
for flags in os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC, os.O_WRONLY | os.O_TRUNC, os.O_RDONLY | os.O_CREAT:
    fails(EISDIR, os.open, "d", flags, 0o755)
fails(EEXIST, os.open, "d", os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0o755)
fails(EISDIR, os.truncate, "d", 0)
d = os.open("d", os.O_RDONLY)
fails(EINVAL, os.ftruncate, d, 0)
fails(EISDIR, os.read, d, 1)
fails(EBADF, os.write, d, b"x")
`;

const TOO_LARGE = `${FAILS}
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
fd = os.open("f", os.O_RDWR | os.O_CREAT, 0o644)
os.write(fd, b"0123456789")
fails(EFBIG, os.ftruncate, fd, 2**60)
fails(EFBIG, os.truncate, "f", 2**60)
fails(EFBIG, os.pwrite, fd, b"x", 2**60)
fails(EINVAL, os.ftruncate, fd, -1)
resource.setrlimit(resource.RLIMIT_FSIZE, (12, 12))
fails(EFBIG, os.ftruncate, fd, 13)
assert os.write(fd, b"abcd") == 2
fails(EFBIG, os.write, fd, b"c")
assert os.pread(fd, 100, 0) == b"0123456789ab"
os.ftruncate(fd, 12)
`;

/** Runs a program in a mount namespace of its own, after a shell script that mounts. */
async function withMounts(mounts: string, program: string, dir: string): Promise<void> {
  const script = `${mounts}\nexec python3 -c "$0"`;
  const { code, stderr } = await execute('unshare', ['-m', 'sh', '-euc', script, program], { cwd: dir });
  assert.equal(code, 0, stderr);
}

const times = (path: string) => stat(path, { bigint: true });

/** Makes files until the file system's clock has gone beyond `ctimeNs`: local ones count in ticks. */
async function clockPasses(ctimeNs: bigint, dir: string): Promise<void> {
  const probe = join(dir, 'probe');
  do await writeFile(probe, 'x');
  while ((await times(probe)).ctimeNs <= ctimeNs);
}

export const refusalCases: readonly PosixCase[] = [
  {
    name: 'a read-only view refuses every change, with the errno of Linux',
    root: true,
    commands: ['python3', 'unshare', 'mount'],
    async run(dir) {
      await shell('mkdir real view; cd real; printf content > f; mkdir d; ln -s f s', dir);
      await withMounts('mount --bind real view; mount -o remount,bind,ro view', READ_ONLY, dir);
    },
  },
  {
    name: 'links and renames stay on one mount; a mount point is neither removed nor moved',
    root: true,
    commands: ['python3', 'unshare', 'mount'],
    async run(dir) {
      await shell('mkdir other view d; printf content > f; : > covered', dir);
      await withMounts(
        'mount -t tmpfs none other; mount --bind . view; mount --bind f covered',
        OTHER_MOUNTS,
        dir,
      );
    },
  },
  {
    name: 'a file being run is neither opened for writing nor truncated, but renamed and removed',
    commands: ['python3'],
    async run(dir) {
      await shell('cp "$(command -v sleep)" s', dir);
      await python(EXECUTED, dir);
    },
  },
  {
    name: 'a file open for writing is not run',
    commands: ['python3'],
    async run(dir) {
      await shell('cp "$(command -v sleep)" s', dir);
      await python(OPEN_FOR_WRITING, dir);
    },
  },
  {
    name: 'a directory is not opened for writing, nor truncated, nor read as a file',
    commands: ['python3'],
    async run(dir) {
      await python(OPEN_DIRECTORY, dir);
    },
  },
  {
    name: 'no file grows beyond what the file system or the process may have',
    commands: ['python3'],
    async run(dir) {
      await python(TOO_LARGE, dir);
    },
  },
  {
    name: 'rename changes the ctime of what it moves, a refused one does not',
    async run(dir) {
      await mkdir(join(dir, 'to'));
      await mkdir(join(dir, 'full', 'd'), { recursive: true });
      await shell(': > f; mkfifo p; mkdir d; : > hard; ln hard hard2', dir);
      for (const name of ['f', 'p', 'd', 'hard']) {
        const before = await times(join(dir, name));
        await clockPasses(before.ctimeNs, dir);
        await rejectsWith('ENOENT', rename(join(dir, name), join(dir, 'missing', name)));
        if (name === 'd') await rejectsWith('ENOTEMPTY', rename(join(dir, name), join(dir, 'full')));
        if (name === 'hard') await rename(join(dir, name), join(dir, 'hard2')); // one file: nothing happens
        assert.equal((await times(join(dir, name))).ctimeNs, before.ctimeNs, `${name} refused`);
        await rename(join(dir, name), join(dir, 'to', name));
        const after = await times(join(dir, 'to', name));
        assert.ok(after.ctimeNs > before.ctimeNs, `${name} moved`);
        assert.equal(after.mtimeNs, before.mtimeNs, `${name} was not written to`);
      }
    },
  },
  {
    name: 'an open file that a rename replaces loses a link and has its ctime changed',
    needs: ['unlinked-open'],
    async run(dir) {
      await writeFile(join(dir, 'a'), 'a');
      await writeFile(join(dir, 'b'), 'b');
      await link(join(dir, 'b'), join(dir, 'c'));
      const file = await open(join(dir, 'b'), 'r');
      const before = await file.stat({ bigint: true });
      await clockPasses(before.ctimeNs, dir);
      await rename(join(dir, 'a'), join(dir, 'b'));
      const once = await file.stat({ bigint: true });
      assert.equal(once.nlink, 1n);
      assert.ok(once.ctimeNs > before.ctimeNs);
      assert.equal(once.mtimeNs, before.mtimeNs);
      await rename(join(dir, 'b'), join(dir, 'c'));
      assert.equal((await file.stat()).nlink, 0);
      await file.close();
    },
  },
  {
    name: 'nlink of directories follows moves and replacements',
    async run(dir) {
      const links = async (...names: string[]): Promise<number[]> =>
        Promise.all(names.map(async (name) => (await stat(join(dir, name))).nlink));
      for (const name of ['a', 'b', 'a/sub', 'a/empty', 'b/empty', 'b/more']) await mkdir(join(dir, name));
      if ((await links('a'))[0] === 1) return; // a file system that does not count
      assert.deepEqual(await links('a', 'b', 'a/sub'), [4, 4, 2]);
      await rename(join(dir, 'a', 'sub'), join(dir, 'b', 'sub'));
      assert.deepEqual(await links('a', 'b', 'b/sub'), [3, 5, 2]);
      await rename(join(dir, 'a', 'empty'), join(dir, 'b', 'empty'));
      assert.deepEqual(await links('a', 'b', 'b/empty'), [2, 5, 2]);
      await rename(join(dir, 'b', 'more'), join(dir, 'b', 'empty'));
      assert.deepEqual(await links('b', 'b/empty'), [4, 2]);
      await symlink('b', join(dir, 'a', 's'));
      await rename(join(dir, 'a', 's'), join(dir, 'b', 's'));
      assert.deepEqual(await links('a', 'b'), [2, 4]);
      await rmdir(join(dir, 'b', 'empty'));
      assert.deepEqual(await links('b'), [3]);
    },
  },
];
