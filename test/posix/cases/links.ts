import assert from 'node:assert/strict';
import {
  link,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  stat,
  symlink,
  unlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { type PosixCase, pattern, rejectsWith, sameBytes } from '../posix-case.ts';

export const linkCases: readonly PosixCase[] = [
  {
    name: 'two names of one file',
    async run(dir) {
      await writeFile(join(dir, 'a'), 'one');
      await link(join(dir, 'a'), join(dir, 'b'));
      const [a, b] = [await stat(join(dir, 'a')), await stat(join(dir, 'b'))];
      assert.equal(a.ino, b.ino);
      assert.equal(a.nlink, 2);
      await writeFile(join(dir, 'b'), 'two');
      assert.equal(await readFile(join(dir, 'a'), 'utf8'), 'two');
      await unlink(join(dir, 'a'));
      assert.equal((await stat(join(dir, 'b'))).nlink, 1);
      assert.equal(await readFile(join(dir, 'b'), 'utf8'), 'two');
    },
  },
  {
    name: 'link refuses directories and existing names',
    async run(dir) {
      await mkdir(join(dir, 'd'));
      await writeFile(join(dir, 'a'), '');
      await writeFile(join(dir, 'b'), '');
      await rejectsWith('EPERM', link(join(dir, 'd'), join(dir, 'e')));
      await rejectsWith('EEXIST', link(join(dir, 'a'), join(dir, 'b')));
      await rejectsWith('ENOENT', link(join(dir, 'missing'), join(dir, 'c')));
    },
  },
  {
    name: 'symbolic links: target, following, dangling, loops',
    async run(dir) {
      await writeFile(join(dir, 'f'), 'x');
      await symlink('f', join(dir, 'to-f'));
      assert.equal(await readlink(join(dir, 'to-f')), 'f');
      assert.equal(await readFile(join(dir, 'to-f'), 'utf8'), 'x');
      assert.ok((await lstat(join(dir, 'to-f'))).isSymbolicLink());
      assert.equal((await lstat(join(dir, 'to-f'))).size, 1);
      await symlink('nowhere/at/all', join(dir, 'dangling'));
      await rejectsWith('ENOENT', stat(join(dir, 'dangling')));
      await symlink('loop', join(dir, 'loop'));
      await rejectsWith('ELOOP', stat(join(dir, 'loop')));
      await rejectsWith('EINVAL', readlink(join(dir, 'f')));
      await rejectsWith('EEXIST', symlink('x', join(dir, 'f')));
    },
  },
  {
    name: 'a symbolic link to a long target',
    async run(dir) {
      const target = 't'.repeat(4000);
      await symlink(target, join(dir, 's'));
      assert.equal(await readlink(join(dir, 's')), target);
    },
  },
  {
    name: 'an open file outlives its name',
    async run(dir) {
      const file = await open(join(dir, 'f'), 'w+');
      await file.write(pattern(200_000), 0, 200_000, 0);
      await unlink(join(dir, 'f'));
      await rejectsWith('ENOENT', stat(join(dir, 'f')));
      const read = Buffer.alloc(200_000);
      await file.read(read, 0, 200_000, 0);
      sameBytes(read, pattern(200_000), 'unlinked file');
      await file.write('more', 200_000);
      assert.equal((await file.stat()).size, 200_004);
      await file.truncate(5);
      assert.equal((await file.stat()).size, 5);
      await file.chmod(0o600);
      await file.close();
    },
  },
  {
    name: 'an open file without a name has no links and is in no listing',
    needs: ['unlinked-open'],
    async run(dir) {
      const file = await open(join(dir, 'f'), 'w+');
      await unlink(join(dir, 'f'));
      assert.equal((await file.stat()).nlink, 0);
      assert.deepEqual(await readdir(dir), []);
      await file.close();
    },
  },
  {
    name: 'a new file under the name of an open unlinked one is another file',
    async run(dir) {
      const old = await open(join(dir, 'f'), 'w+');
      await old.write('old');
      await unlink(join(dir, 'f'));
      await writeFile(join(dir, 'f'), 'new');
      const read = Buffer.alloc(3);
      await old.read(read, 0, 3, 0);
      assert.equal(read.toString(), 'old');
      await old.close();
      assert.equal(await readFile(join(dir, 'f'), 'utf8'), 'new');
    },
  },
];
