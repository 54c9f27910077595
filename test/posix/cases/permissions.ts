import assert from 'node:assert/strict';
import { chmod, chown, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execute, NOBODY, type PosixCase, shell } from '../posix-case.ts';

async function asNobody(script: string, dir: string): Promise<{ code: number | null; stderr: string }> {
  return execute('sh', ['-euc', script], { cwd: dir, ...NOBODY });
}

async function refused(script: string, dir: string, reason: RegExp): Promise<void> {
  const { code, stderr } = await asNobody(script, dir);
  assert.notEqual(code, 0, `should have been refused: ${script}`);
  assert.match(stderr, reason);
}

export const permissionCases: readonly PosixCase[] = [
  {
    name: 'permission bits are enforced for other users',
    root: true,
    async run(dir) {
      await chmod(dir, 0o755);
      await writeFile(join(dir, 'secret'), 'x');
      await chmod(join(dir, 'secret'), 0o600);
      await writeFile(join(dir, 'public'), 'x');
      await chmod(join(dir, 'public'), 0o644);
      await refused('cat secret', dir, /denied/i);
      await refused('echo y > public', dir, /denied|cannot create/i);
      await refused('touch new', dir, /denied/i);
      await refused('rm -f public', dir, /denied/i);
      await refused('chmod 777 public', dir, /not permitted/i);
      await shell('cat public', dir, NOBODY);
    },
  },
  {
    name: 'what a user creates is theirs',
    root: true,
    needs: ['caller-ids'],
    async run(dir) {
      await chmod(dir, 0o777);
      await shell('touch f; mkdir d; ln -s x s; mkfifo p', dir, NOBODY);
      for (const name of ['f', 'd', 'p']) {
        const { uid, gid } = await stat(join(dir, name));
        assert.deepEqual([uid, gid], [NOBODY.uid, NOBODY.gid], name);
      }
      assert.equal((await shell('stat -c %u s', dir)).trim(), String(NOBODY.uid));
    },
  },
  {
    name: 'in a sticky directory only owners remove',
    root: true,
    needs: ['caller-ids'],
    async run(dir) {
      await mkdir(join(dir, 't'));
      await chmod(join(dir, 't'), 0o1777);
      await writeFile(join(dir, 't', 'of-root'), '');
      await refused('rm -f t/of-root', dir, /not permitted/i);
      await refused('mv t/of-root t/moved', dir, /not permitted/i);
      await shell('touch t/mine; rm t/mine', dir, NOBODY);
    },
  },
  {
    name: 'a user cannot give a file away',
    root: true,
    async run(dir) {
      await writeFile(join(dir, 'f'), '');
      await chown(join(dir, 'f'), NOBODY.uid, NOBODY.gid);
      await chmod(dir, 0o777);
      await refused('chown 0 f', dir, /not permitted/i);
      await shell('chmod 600 f', dir, NOBODY);
    },
  },
  {
    name: 'a write by another user clears setuid and setgid',
    root: true,
    async run(dir) {
      await chmod(dir, 0o777);
      await writeFile(join(dir, 'f'), 'x');
      await chmod(join(dir, 'f'), 0o6777);
      await shell('echo more >> f', dir, NOBODY);
      assert.equal((await stat(join(dir, 'f'))).mode & 0o7777, 0o777);
      assert.equal(await readFile(join(dir, 'f'), 'utf8'), 'xmore\n');
    },
  },
  {
    name: 'truncation by another user clears setuid',
    root: true,
    async run(dir) {
      await chmod(dir, 0o777);
      for (const script of ['truncate -s 0 f', ': > f']) {
        await writeFile(join(dir, 'f'), 'x');
        await chmod(join(dir, 'f'), 0o4777);
        await shell(script, dir, NOBODY);
        assert.equal((await stat(join(dir, 'f'))).mode & 0o7777, 0o777, script);
      }
    },
  },
  {
    name: 'chown clears setuid, and setgid of what its group may run',
    root: true,
    async run(dir) {
      await writeFile(join(dir, 'f'), 'x');
      await chmod(join(dir, 'f'), 0o6775);
      await chown(join(dir, 'f'), 1000, 1000);
      assert.equal((await stat(join(dir, 'f'))).mode & 0o7777, 0o775);
    },
  },
  {
    name: 'chown of a directory keeps setgid',
    root: true,
    async run(dir) {
      await mkdir(join(dir, 'd'));
      await chmod(join(dir, 'd'), 0o2775);
      await chown(join(dir, 'd'), 1000, 1000);
      assert.equal((await stat(join(dir, 'd'))).mode & 0o7777, 0o2775);
    },
  },
];
