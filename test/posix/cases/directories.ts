import assert from 'node:assert/strict';
import { mkdir, opendir, readdir, readFile, rm, rmdir, stat, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type PosixCase, rejectsWith } from '../posix-case.ts';

const ENTRIES = 3000;

async function makeFiles(dir: string, count: number): Promise<string[]> {
  const names = Array.from({ length: count }, (_, i) => `file-${i}-${'x'.repeat(i % 40)}`);
  for (let i = 0; i < count; i += 50) {
    await Promise.all(names.slice(i, i + 50).map((name) => writeFile(join(dir, name), '')));
  }
  return names.sort();
}

export const directoryCases: readonly PosixCase[] = [
  {
    name: 'mkdir, rmdir and their errors',
    async run(dir) {
      await mkdir(join(dir, 'd'));
      assert.ok((await stat(join(dir, 'd'))).isDirectory());
      await rejectsWith('EEXIST', mkdir(join(dir, 'd')));
      await writeFile(join(dir, 'd', 'f'), '');
      await rejectsWith('ENOTEMPTY', rmdir(join(dir, 'd')));
      await rejectsWith('ENOTDIR', rmdir(join(dir, 'd', 'f')));
      await rejectsWith('ENOENT', mkdir(join(dir, 'no', 'd')));
      await unlink(join(dir, 'd', 'f'));
      await rmdir(join(dir, 'd'));
      await rejectsWith('ENOENT', stat(join(dir, 'd')));
      await rejectsWith('ENOENT', rmdir(join(dir, 'd')));
    },
  },
  {
    name: 'unlink of a directory is refused',
    async run(dir) {
      await mkdir(join(dir, 'd'));
      await rejectsWith('EISDIR', unlink(join(dir, 'd')));
    },
  },
  {
    name: 'a directory with many entries is listed whole, each once',
    async run(dir) {
      const names = await makeFiles(dir, ENTRIES);
      assert.deepEqual((await readdir(dir)).sort(), names);
      const types = await readdir(dir, { withFileTypes: true });
      assert.ok(types.every((entry) => entry.isFile()));
    },
  },
  {
    name: 'removing while listing skips nothing that stays',
    async run(dir) {
      const names = await makeFiles(dir, 1000);
      const seen: string[] = [];
      for await (const entry of await opendir(dir, { bufferSize: 1 })) {
        seen.push(entry.name);
        if (seen.length % 2 === 0) await unlink(join(dir, entry.name));
      }
      assert.deepEqual([...seen].sort(), names);
      const kept = seen.filter((_, i) => i % 2 === 0);
      assert.deepEqual((await readdir(dir)).sort(), kept.sort());
    },
  },
  {
    name: 'a listing after a change shows the change',
    async run(dir) {
      await writeFile(join(dir, 'a'), '');
      assert.deepEqual(await readdir(dir), ['a']);
      await writeFile(join(dir, 'b'), '');
      assert.deepEqual((await readdir(dir)).sort(), ['a', 'b']);
      await unlink(join(dir, 'a'));
      assert.deepEqual(await readdir(dir), ['b']);
    },
  },
  {
    name: 'names of 255 bytes, and no longer',
    async run(dir) {
      const longest = 'n'.repeat(255);
      await writeFile(join(dir, longest), 'x');
      assert.deepEqual(await readdir(dir), [longest]);
      await rejectsWith('ENAMETOOLONG', writeFile(join(dir, `${longest}n`), 'x'));
      await rejectsWith('ENAMETOOLONG', stat(join(dir, 'm'.repeat(300))));
      await rejectsWith('ENAMETOOLONG', mkdir(join(dir, 'm'.repeat(256))));
    },
  },
  {
    name: 'names with spaces, quotes, line ends and letters of the world',
    async run(dir) {
      const names = ['a b', '"q"', "it's", 'line\nend', '-rf', '日本語', 'Ünïcode', '😀', '...', '..a', '\\'];
      for (const name of names) await writeFile(join(dir, name), name);
      assert.deepEqual((await readdir(dir)).sort(), [...names].sort());
      for (const name of names) assert.equal(await readFile(join(dir, name), 'utf8'), name);
    },
  },
  {
    name: 'names that are not UTF-8',
    needs: ['binary-names'],
    async run(dir) {
      const name = Buffer.from([0x66, 0xff, 0xfe, 0x80, 0x01]);
      const path = Buffer.concat([Buffer.from(`${dir}/`), name]);
      await writeFile(path, 'x');
      assert.deepEqual(await readdir(dir, { encoding: 'buffer' }), [name]);
      assert.equal(await readFile(path, 'utf8'), 'x');
      await unlink(path);
      assert.deepEqual(await readdir(dir), []);
    },
  },
  {
    name: 'nlink counts subdirectories',
    async run(dir) {
      await mkdir(join(dir, 'd'));
      // Some file systems say 1 for "not counted"; RingFS counts.
      const base = (await stat(join(dir, 'd'))).nlink;
      if (base === 1) return;
      assert.equal(base, 2);
      await mkdir(join(dir, 'd', 'a'));
      await mkdir(join(dir, 'd', 'b'));
      await writeFile(join(dir, 'd', 'f'), '');
      assert.equal((await stat(join(dir, 'd'))).nlink, 4);
      await rmdir(join(dir, 'd', 'a'));
      assert.equal((await stat(join(dir, 'd'))).nlink, 3);
    },
  },
  {
    name: 'a deep tree is made, walked and removed',
    async run(dir) {
      const deep = join(dir, ...Array.from({ length: 60 }, (_, i) => `level${i}`));
      await mkdir(deep, { recursive: true });
      await writeFile(join(deep, 'leaf'), 'leaf');
      assert.equal(await readFile(join(deep, 'leaf'), 'utf8'), 'leaf');
      await rm(join(dir, 'level0'), { recursive: true });
      assert.deepEqual(await readdir(dir), []);
    },
  },
  {
    name: '. and .. lead where they should',
    async run(dir) {
      await mkdir(join(dir, 'd', 'e'), { recursive: true });
      const ino = (await stat(join(dir, 'd'))).ino;
      assert.equal((await stat(`${dir}/d/e/..`)).ino, ino);
      assert.equal((await stat(`${dir}/d/.`)).ino, ino);
    },
  },
];
