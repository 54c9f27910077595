import assert from 'node:assert/strict';
import { link, mkdir, open, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type PosixCase, python, rejectsWith } from '../posix-case.ts';

/** renameat2(2) by its number on x86-64 and arm64; prints the errno, 0 for success. */
const RENAMEAT2 = `
import ctypes, os, platform, sys
libc = ctypes.CDLL(None, use_errno=True)
number = {"x86_64": 316, "aarch64": 276}[platform.machine()]
r = libc.syscall(number, -100, sys.argv[1].encode(), -100, sys.argv[2].encode(), int(sys.argv[3]))
print(ctypes.get_errno() if r != 0 else 0)
`;

export const renameCases: readonly PosixCase[] = [
  {
    name: 'rename moves and replaces',
    async run(dir) {
      await writeFile(join(dir, 'a'), 'a');
      await writeFile(join(dir, 'b'), 'b');
      const { ino } = await stat(join(dir, 'a'));
      await rename(join(dir, 'a'), join(dir, 'b'));
      assert.deepEqual(await readdir(dir), ['b']);
      assert.equal(await readFile(join(dir, 'b'), 'utf8'), 'a');
      assert.equal((await stat(join(dir, 'b'))).ino, ino);
      await rejectsWith('ENOENT', rename(join(dir, 'a'), join(dir, 'c')));
    },
  },
  {
    name: 'rename between directories',
    async run(dir) {
      await mkdir(join(dir, 'from', 'sub'), { recursive: true });
      await mkdir(join(dir, 'to'));
      await writeFile(join(dir, 'from', 'sub', 'f'), 'x');
      await rename(join(dir, 'from', 'sub'), join(dir, 'to', 'sub2'));
      assert.deepEqual(await readdir(join(dir, 'from')), []);
      assert.equal(await readFile(join(dir, 'to', 'sub2', 'f'), 'utf8'), 'x');
      assert.equal((await stat(join(dir, 'to', 'sub2', '..'))).ino, (await stat(join(dir, 'to'))).ino);
    },
  },
  {
    name: 'rename of a directory over an empty one only',
    async run(dir) {
      await mkdir(join(dir, 'a'));
      await mkdir(join(dir, 'b'));
      await writeFile(join(dir, 'a', 'f'), 'x');
      await rename(join(dir, 'a'), join(dir, 'b'));
      assert.deepEqual(await readdir(dir), ['b']);
      await mkdir(join(dir, 'c'));
      await rejectsWith('ENOTEMPTY', rename(join(dir, 'c'), join(dir, 'b')));
    },
  },
  {
    name: 'rename refuses to mix files and directories',
    async run(dir) {
      await mkdir(join(dir, 'd'));
      await writeFile(join(dir, 'f'), '');
      await rejectsWith('EISDIR', rename(join(dir, 'f'), join(dir, 'd')));
      await rejectsWith('ENOTDIR', rename(join(dir, 'd'), join(dir, 'f')));
    },
  },
  {
    name: 'rename of a directory into itself is refused',
    async run(dir) {
      await mkdir(join(dir, 'd', 'e'), { recursive: true });
      await rejectsWith('EINVAL', rename(join(dir, 'd'), join(dir, 'd', 'e', 'd')));
    },
  },
  {
    name: 'rename between two names of one file does nothing',
    async run(dir) {
      await writeFile(join(dir, 'a'), 'x');
      await link(join(dir, 'a'), join(dir, 'b'));
      await rename(join(dir, 'a'), join(dir, 'b'));
      assert.deepEqual((await readdir(dir)).sort(), ['a', 'b']);
    },
  },
  {
    name: 'an open file follows its rename',
    async run(dir) {
      const file = await open(join(dir, 'a'), 'w+');
      await file.write('before ');
      await rename(join(dir, 'a'), join(dir, 'b'));
      await file.write('after');
      await file.close();
      assert.equal(await readFile(join(dir, 'b'), 'utf8'), 'before after');
    },
  },
  {
    name: 'a reader keeps the file that a rename replaced',
    async run(dir) {
      await writeFile(join(dir, 'config'), 'old');
      const reader = await open(join(dir, 'config'), 'r');
      await writeFile(join(dir, 'config.tmp'), 'new');
      await rename(join(dir, 'config.tmp'), join(dir, 'config'));
      assert.equal((await reader.readFile()).toString(), 'old');
      await reader.close();
      assert.equal(await readFile(join(dir, 'config'), 'utf8'), 'new');
    },
  },
  {
    name: 'RENAME_NOREPLACE refuses an existing name',
    needs: ['rename-flags'],
    commands: ['python3'],
    async run(dir) {
      await writeFile(join(dir, 'a'), 'a');
      await writeFile(join(dir, 'b'), 'b');
      assert.equal((await python(RENAMEAT2, dir, ['a', 'b', '1'])).trim(), '17');
      assert.equal((await python(RENAMEAT2, dir, ['a', 'c', '1'])).trim(), '0');
      assert.deepEqual((await readdir(dir)).sort(), ['b', 'c']);
    },
  },
  {
    name: 'RENAME_EXCHANGE swaps two names',
    needs: ['rename-flags'],
    commands: ['python3'],
    async run(dir) {
      await mkdir(join(dir, 'd'));
      await writeFile(join(dir, 'd', 'inside'), 'i');
      await writeFile(join(dir, 'f'), 'f');
      assert.equal((await python(RENAMEAT2, dir, ['d', 'f', '2'])).trim(), '0');
      assert.equal(await readFile(join(dir, 'd'), 'utf8'), 'f');
      assert.equal(await readFile(join(dir, 'f', 'inside'), 'utf8'), 'i');
      assert.equal((await python(RENAMEAT2, dir, ['d', 'missing', '2'])).trim(), '2');
    },
  },
];
