import assert from 'node:assert/strict';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execute, type PosixCase, python, shell } from '../posix-case.ts';

const XATTRS = `
import errno, os
def fails(code, f, *a):
    try:
        f(*a)
    except OSError as e:
        assert e.errno == code, (e.errno, code)
        return
    raise AssertionError("should have failed")
open("f", "w").close()
assert os.listxattr("f") == []
os.setxattr("f", "user.one", b"1")
os.setxattr("f", "user.two", bytes(range(256)) * 8)
os.setxattr("f", "user.empty", b"")
assert os.getxattr("f", "user.one") == b"1"
assert os.getxattr("f", "user.two") == bytes(range(256)) * 8
assert os.getxattr("f", "user.empty") == b""
assert sorted(os.listxattr("f")) == ["user.empty", "user.one", "user.two"], os.listxattr("f")
os.setxattr("f", "user.one", b"changed", os.XATTR_REPLACE)
assert os.getxattr("f", "user.one") == b"changed"
fails(errno.EEXIST, os.setxattr, "f", "user.one", b"x", os.XATTR_CREATE)
fails(errno.ENODATA, os.setxattr, "f", "user.new", b"x", os.XATTR_REPLACE)
fails(errno.ENODATA, os.getxattr, "f", "user.missing")
os.removexattr("f", "user.one")
fails(errno.ENODATA, os.removexattr, "f", "user.one")
assert sorted(os.listxattr("f")) == ["user.empty", "user.two"]
os.mkdir("d")
os.setxattr("d", "user.dir", b"d")
assert os.getxattr("d", "user.dir") == b"d"
`;

const LOCKS = `
import fcntl, os, subprocess, sys
f = open("f", "w")
for lock, unlock in ((lambda: fcntl.flock(f, fcntl.LOCK_EX), lambda: fcntl.flock(f, fcntl.LOCK_UN)),
                     (lambda: fcntl.lockf(f, fcntl.LOCK_EX), lambda: fcntl.lockf(f, fcntl.LOCK_UN))):
    kind = "flock" if lock.__code__.co_names[1] == "flock" else "lockf"
    child = [sys.executable, "-c", "import fcntl; g = open('f', 'w'); fcntl.%s(g, fcntl.LOCK_EX | fcntl.LOCK_NB)" % kind]
    lock()
    assert subprocess.run(child, stderr=subprocess.DEVNULL).returncode != 0, kind + " did not exclude"
    unlock()
    assert subprocess.run(child).returncode == 0, kind + " was not released"
`;

export const specialCases: readonly PosixCase[] = [
  {
    name: 'extended attributes',
    commands: ['python3'],
    run: async (dir) => {
      await python(XATTRS, dir);
    },
  },
  {
    name: 'locks exclude other processes of this machine',
    commands: ['python3'],
    run: async (dir) => {
      await python(LOCKS, dir);
    },
  },
  {
    name: 'a named pipe passes data',
    async run(dir) {
      const output = await shell('mkfifo p; echo through > p & cat p; wait', dir);
      assert.equal(output, 'through\n');
      assert.ok((await stat(join(dir, 'p'))).isFIFO());
    },
  },
  {
    name: 'a socket is a file',
    commands: ['python3'],
    async run(dir) {
      await python('import socket; s = socket.socket(socket.AF_UNIX); s.bind("sock")', dir);
      assert.ok((await stat(join(dir, 'sock'))).isSocket());
    },
  },
  {
    name: 'a device node keeps its number',
    root: true,
    async run(dir) {
      await shell('mknod null c 1 3; mknod big b 259 70000', dir);
      assert.equal((await shell('stat -c "%F %t:%T" null', dir)).trim(), 'character special file 1:3');
      assert.equal((await shell('stat -c "%F %t:%T" big', dir)).trim(), 'block special file 103:11170');
    },
  },
  {
    name: 'a program runs from the filesystem',
    async run(dir) {
      await writeFile(join(dir, 'hello'), '#!/bin/sh\necho hello "$1"\n', { mode: 0o755 });
      assert.equal(await shell('./hello world', dir), 'hello world\n');
      const copied = await shell('cp "$(command -v uname)" ./u && ./u', dir);
      assert.equal(copied, await shell('uname', dir));
    },
  },
  {
    name: 'a file being run cannot be written',
    async run(dir) {
      const output = await shell(
        'cp "$(command -v sleep)" ./s; ./s 60 & pid=$!; while [ "$(readlink /proc/$pid/exe)" != "$PWD/s" ]; do :; done; if (: >> s) 2> err; then echo written; else cat err; fi; kill $pid; wait $pid || true',
        dir,
      );
      assert.match(output, /busy/i);
    },
  },
  {
    name: 'processes appending to one file lose no line',
    async run(dir) {
      const [writers, lines] = [6, 50];
      const script = `i=0; while [ $i -lt ${lines} ]; do echo "$0 $i" >> log; i=$((i+1)); done`;
      await Promise.all(
        Array.from({ length: writers }, (_, w) =>
          execute('sh', ['-euc', script, `writer${w}`], { cwd: dir }),
        ),
      );
      const found = (await readFile(join(dir, 'log'), 'utf8')).trim().split('\n');
      const expected = Array.from(
        { length: writers * lines },
        (_, i) => `writer${i % writers} ${Math.floor(i / writers)}`,
      );
      assert.deepEqual(found.sort(), expected.sort());
    },
  },
  {
    name: 'of many exclusive creations of one name one succeeds',
    async run(dir) {
      for (let round = 0; round < 5; round++) {
        const results = await Promise.allSettled(
          Array.from({ length: 16 }, (_, i) => writeFile(join(dir, `r${round}`), String(i), { flag: 'wx' })),
        );
        const winners = results.flatMap((result, i) => (result.status === 'fulfilled' ? [i] : []));
        assert.equal(winners.length, 1);
        assert.equal(await readFile(join(dir, `r${round}`), 'utf8'), String(winners[0]));
      }
    },
  },
  {
    name: 'many operations at once',
    async run(dir) {
      const work = Array.from({ length: 40 }, (_, w) =>
        shell(
          'mkdir $0; cd $0; for i in 1 2 3 4 5; do echo "$0 $i" > f$i; mv f$i g$i; done; cat g1 g2 g3 g4 g5 | wc -l; rm g1'.replaceAll(
            '$0',
            `w${w}`,
          ),
          dir,
        ),
      );
      for (const output of await Promise.all(work)) assert.equal(output.trim(), '5');
      assert.equal((await readdir(dir)).length, 40);
    },
  },
];
