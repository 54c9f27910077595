import assert from 'node:assert/strict';
import { constants } from 'node:fs';
import { copyFile, mkdir, open, readFile, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type PosixCase, pattern, python, rejectsWith, sameBytes } from '../posix-case.ts';

const MIB = 1024 * 1024;

export const fileCases: readonly PosixCase[] = [
  {
    name: 'what is written is read back',
    async run(dir) {
      for (const length of [0, 1, 4095, 4096, 4097, 8192, 8193, 131_072, 3 * MIB + 17]) {
        const path = join(dir, `f${length}`);
        await writeFile(path, pattern(length, length));
        sameBytes(await readFile(path), pattern(length, length), `file of ${length} bytes`);
        assert.equal((await stat(path)).size, length);
      }
    },
  },
  {
    name: 'writes at any position, compared with a model',
    async run(dir) {
      const file = await open(join(dir, 'f'), 'w+');
      const model = Buffer.alloc(6 * MIB);
      let end = 0;
      for (let i = 0; i < 60; i++) {
        const at = (i * 7_919_777) % (5 * MIB);
        const data = pattern(1 + ((i * 104_729) % (MIB / 2)), i + 1);
        await file.write(data, 0, data.length, at);
        data.copy(model, at);
        end = Math.max(end, at + data.length);
        if (i % 10 === 9) {
          const read = Buffer.alloc(end);
          assert.equal((await file.read(read, 0, end, 0)).bytesRead, end);
          sameBytes(read, model.subarray(0, end), `after write ${i}`);
        }
      }
      await file.close();
      sameBytes(await readFile(join(dir, 'f')), model.subarray(0, end), 'after close');
    },
  },
  {
    name: 'reading at and past the end gives what there is',
    async run(dir) {
      await writeFile(join(dir, 'f'), 'hello');
      const file = await open(join(dir, 'f'), 'r');
      const buffer = Buffer.alloc(10);
      assert.equal((await file.read(buffer, 0, 10, 3)).bytesRead, 2);
      assert.equal(buffer.subarray(0, 2).toString(), 'lo');
      assert.equal((await file.read(buffer, 0, 10, 5)).bytesRead, 0);
      assert.equal((await file.read(buffer, 0, 10, 1_000_000)).bytesRead, 0);
      await file.close();
    },
  },
  {
    name: 'a hole reads as zeros',
    async run(dir) {
      const file = await open(join(dir, 'f'), 'w+');
      await file.write(Buffer.from('end'), 0, 3, 2 * MIB);
      const read = Buffer.alloc(2 * MIB + 3, 1);
      assert.equal((await file.read(read, 0, read.length, 0)).bytesRead, read.length);
      sameBytes(read.subarray(0, 2 * MIB), Buffer.alloc(2 * MIB), 'hole');
      assert.equal(read.subarray(2 * MIB).toString(), 'end');
      await file.close();
    },
  },
  {
    name: 'positions beyond 4 GiB',
    async run(dir) {
      const at = 5 * 1024 * MIB + 3;
      const file = await open(join(dir, 'f'), 'w+');
      await file.write(Buffer.from('far'), 0, 3, at);
      assert.equal((await file.stat()).size, at + 3);
      const read = Buffer.alloc(5);
      assert.equal((await file.read(read, 0, 5, at - 2)).bytesRead, 5);
      assert.equal(read.toString('latin1'), '\0\0far');
      await file.close();
      await truncate(join(dir, 'f'), 0);
    },
  },
  {
    name: 'truncate shrinks, grows with zeros, and forgets what it cut',
    async run(dir) {
      const path = join(dir, 'f');
      await writeFile(path, pattern(100_000));
      await truncate(path, 50_001);
      sameBytes(await readFile(path), pattern(100_000).subarray(0, 50_001), 'shrunk');
      await truncate(path, 100_000);
      const grown = await readFile(path);
      sameBytes(grown.subarray(0, 50_001), pattern(100_000).subarray(0, 50_001), 'kept');
      sameBytes(grown.subarray(50_001), Buffer.alloc(49_999), 'grown');
    },
  },
  {
    name: 'ftruncate through a descriptor',
    async run(dir) {
      const file = await open(join(dir, 'f'), 'w+');
      await file.write('0123456789');
      await file.truncate(4);
      assert.equal((await file.stat()).size, 4);
      assert.equal(await readFile(join(dir, 'f'), 'utf8'), '0123');
      await file.close();
    },
  },
  {
    name: 'O_TRUNC empties, and only with write access',
    async run(dir) {
      const path = join(dir, 'f');
      await writeFile(path, 'content');
      const file = await open(path, constants.O_WRONLY | constants.O_TRUNC);
      assert.equal((await file.stat()).size, 0);
      await file.write('new');
      await file.close();
      assert.equal(await readFile(path, 'utf8'), 'new');
    },
  },
  {
    name: 'O_TRUNC of an empty file sets its times',
    async run(dir) {
      const path = join(dir, 'stamp');
      await writeFile(path, '');
      await utimes(path, 1000, 1000);
      await (await open(path, 'w')).close();
      assert.ok((await stat(path)).mtimeMs > 1_000_000_000_000);
      await utimes(path, 1000, 1000);
      await (await open(path, constants.O_RDWR | constants.O_CREAT)).close();
      assert.equal((await stat(path)).mtimeMs, 1_000_000);
    },
  },
  {
    name: 'O_EXCL refuses an existing name',
    async run(dir) {
      await (await open(join(dir, 'f'), 'wx')).close();
      await rejectsWith('EEXIST', open(join(dir, 'f'), 'wx'));
    },
  },
  {
    name: 'O_APPEND through two descriptors loses nothing',
    async run(dir) {
      const path = join(dir, 'log');
      const [a, b] = [await open(path, 'a'), await open(path, 'a')];
      for (let i = 0; i < 20; i++) await (i % 2 === 0 ? a : b).write(`line ${i}\n`);
      await a.close();
      await b.close();
      const lines = Array.from({ length: 20 }, (_, i) => `line ${i}\n`);
      assert.equal(await readFile(path, 'utf8'), lines.join(''));
    },
  },
  {
    name: 'a second descriptor sees what the first wrote before it is closed',
    async run(dir) {
      const path = join(dir, 'f');
      const writer = await open(path, 'w');
      await writer.write('first');
      assert.equal(await readFile(path, 'utf8'), 'first');
      const reader = await open(path, 'r');
      await writer.write(' second');
      assert.equal((await reader.readFile()).toString(), 'first second');
      await reader.close();
      await writer.close();
    },
  },
  {
    name: 'errors of open',
    async run(dir) {
      await mkdir(join(dir, 'd'));
      await writeFile(join(dir, 'f'), '');
      await rejectsWith('ENOENT', open(join(dir, 'missing'), 'r'));
      await rejectsWith('ENOENT', open(join(dir, 'missing', 'f'), 'w'));
      await rejectsWith('EISDIR', open(join(dir, 'd'), 'r+'));
      await rejectsWith('ENOTDIR', open(join(dir, 'f', 'x'), 'r'));
      await rejectsWith('ENOTDIR', open(join(dir, 'f'), constants.O_RDONLY | constants.O_DIRECTORY));
      await rejectsWith('EISDIR', readFile(join(dir, 'd')));
    },
  },
  {
    name: 'a descriptor allows only what it was opened for',
    async run(dir) {
      await writeFile(join(dir, 'f'), 'x');
      const reader = await open(join(dir, 'f'), 'r');
      await rejectsWith('EBADF', reader.write('y'));
      await reader.close();
      const writer = await open(join(dir, 'f'), 'r+');
      await writer.close();
      const writeOnly = await open(join(dir, 'f'), constants.O_WRONLY);
      await rejectsWith('EBADF', writeOnly.read(Buffer.alloc(1), 0, 1, 0));
      await writeOnly.close();
    },
  },
  {
    name: 'fsync and fdatasync of files and directories',
    async run(dir) {
      const file = await open(join(dir, 'f'), 'w');
      await file.write('x');
      await file.sync();
      await file.datasync();
      await file.close();
      const directory = await open(dir, 'r');
      await directory.sync();
      await directory.close();
    },
  },
  {
    name: 'copyFile copies, and COPYFILE_EXCL refuses',
    async run(dir) {
      await writeFile(join(dir, 'a'), pattern(300_000));
      await copyFile(join(dir, 'a'), join(dir, 'b'));
      sameBytes(await readFile(join(dir, 'b')), pattern(300_000), 'copy');
      await rejectsWith('EEXIST', copyFile(join(dir, 'a'), join(dir, 'b'), constants.COPYFILE_EXCL));
    },
  },
  {
    name: 'a shared memory map reads and writes the file',
    commands: ['python3'],
    async run(dir) {
      await writeFile(join(dir, 'f'), pattern(10_000));
      await python(
        `
import mmap, os
fd = os.open("f", os.O_RDWR)
m = mmap.mmap(fd, 10000)
assert m[:10] == open("f", "rb").read(10)
m[5000:5004] = b"mmap"
m.flush()
m.close()
os.close(fd)
`,
        dir,
      );
      const expected = pattern(10_000);
      expected.write('mmap', 5000);
      sameBytes(await readFile(join(dir, 'f')), expected, 'after the map');
    },
  },
  {
    name: 'a shared memory map of a descriptor for appending writes in place',
    needs: ['mapped-append'],
    commands: ['python3'],
    async run(dir) {
      await writeFile(join(dir, 'f'), pattern(10_000));
      await python(
        `
import mmap, os
fd = os.open("f", os.O_RDWR | os.O_APPEND)
m = mmap.mmap(fd, 10000)
m[5000:5004] = b"mmap"
m.flush()
m.close()
os.write(fd, b"end")
os.close(fd)
`,
        dir,
      );
      const expected = Buffer.concat([pattern(10_000), Buffer.from('end')]);
      expected.write('mmap', 5000);
      sameBytes(await readFile(join(dir, 'f')), expected, 'after the map');
    },
  },
];
