import assert from 'node:assert/strict';
import {
  chmod,
  chown,
  lutimes,
  mkdir,
  open,
  stat,
  statfs,
  symlink,
  unlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { type PosixCase, python, shell } from '../posix-case.ts';

async function bigStat(path: string): Promise<{ mtimeNs: bigint; ctimeNs: bigint; atimeNs: bigint }> {
  return stat(path, { bigint: true });
}

export const metadataCases: readonly PosixCase[] = [
  {
    name: 'chmod sets every permission bit',
    async run(dir) {
      await writeFile(join(dir, 'f'), '');
      for (const mode of [0o000, 0o777, 0o640, 0o4755, 0o2755, 0o1755]) {
        await chmod(join(dir, 'f'), mode);
        assert.equal((await stat(join(dir, 'f'))).mode & 0o7777, mode);
      }
    },
  },
  {
    name: 'the umask applies to what is created',
    async run(dir) {
      const output = await shell(
        'umask 027; touch f; mkdir d; mkfifo p; stat -c %a f d p; umask 0; mkdir -m 1777 s; stat -c %a s',
        dir,
      );
      assert.deepEqual(output.trim().split('\n'), ['640', '750', '640', '1777']);
    },
  },
  {
    name: 'chown sets owner and group, each alone too',
    root: true,
    async run(dir) {
      await writeFile(join(dir, 'f'), '');
      await chown(join(dir, 'f'), 1234, 5678);
      const both = await stat(join(dir, 'f'));
      assert.deepEqual([both.uid, both.gid], [1234, 5678]);
      await shell('chown 42 f; chgrp 43 f', dir);
      const each = await stat(join(dir, 'f'));
      assert.deepEqual([each.uid, each.gid], [42, 43]);
    },
  },
  {
    name: 'utimes sets both times',
    async run(dir) {
      await writeFile(join(dir, 'f'), '');
      await utimes(join(dir, 'f'), 1_000_000_000, 1_234_567_890);
      const { atimeMs, mtimeMs } = await stat(join(dir, 'f'));
      assert.deepEqual([atimeMs, mtimeMs], [1_000_000_000_000, 1_234_567_890_000]);
    },
  },
  {
    name: 'times have nanoseconds',
    needs: ['nanoseconds'],
    commands: ['python3'],
    async run(dir) {
      await writeFile(join(dir, 'f'), '');
      await python('import os; os.utime("f", ns=(1234567890123456789, 987654321987654321))', dir);
      const { atimeNs, mtimeNs } = await bigStat(join(dir, 'f'));
      assert.deepEqual([atimeNs, mtimeNs], [1_234_567_890_123_456_789n, 987_654_321_987_654_321n]);
    },
  },
  {
    name: 'times before 1970 and after 2038',
    needs: ['times-before-1970'],
    commands: ['python3'],
    async run(dir) {
      await writeFile(join(dir, 'f'), '');
      await python('import os; os.utime("f", ns=(-1500000000, 5000000000000000000))', dir);
      const { atimeNs, mtimeNs } = await bigStat(join(dir, 'f'));
      assert.deepEqual([atimeNs, mtimeNs], [-1_500_000_000n, 5_000_000_000_000_000_000n]);
    },
  },
  {
    name: 'one time alone, the other untouched',
    needs: ['single-times'],
    async run(dir) {
      await writeFile(join(dir, 'f'), '');
      await utimes(join(dir, 'f'), 1000, 2000);
      await shell('touch -m -d @3000 f', dir);
      assert.equal((await stat(join(dir, 'f'))).atimeMs, 1_000_000);
      assert.equal((await stat(join(dir, 'f'))).mtimeMs, 3_000_000);
      await shell('touch -a -d @4000 f', dir);
      assert.equal((await stat(join(dir, 'f'))).atimeMs, 4_000_000);
      assert.equal((await stat(join(dir, 'f'))).mtimeMs, 3_000_000);
    },
  },
  {
    name: 'touch sets the present time',
    async run(dir) {
      await writeFile(join(dir, 'f'), '');
      await utimes(join(dir, 'f'), 1000, 1000);
      const { mtimeMs: before } = await stat(join(dir, 'f'));
      await shell('touch f', dir);
      assert.ok((await stat(join(dir, 'f'))).mtimeMs > before + 1e12);
    },
  },
  {
    name: 'times of a symbolic link itself',
    async run(dir) {
      await writeFile(join(dir, 'f'), '');
      await symlink('f', join(dir, 's'));
      await lutimes(join(dir, 's'), 5000, 6000);
      assert.equal((await shell('stat -c %Y s', dir)).trim(), '6000');
      assert.ok((await stat(join(dir, 'f'))).mtimeMs > 1e12);
    },
  },
  {
    name: 'writing changes mtime and ctime; chmod changes ctime only',
    async run(dir) {
      const path = join(dir, 'f');
      await writeFile(path, 'x');
      await utimes(path, 1000, 1000);
      const before = await bigStat(path);
      const file = await open(path, 'r+');
      await file.write('y');
      await file.close();
      const written = await bigStat(path);
      assert.ok(written.mtimeNs > before.mtimeNs);
      assert.ok(written.ctimeNs >= before.ctimeNs);
      await chmod(path, 0o600);
      const changed = await bigStat(path);
      assert.equal(changed.mtimeNs, written.mtimeNs);
      assert.ok(changed.ctimeNs >= written.ctimeNs);
    },
  },
  {
    name: 'creating and removing changes the directory times',
    async run(dir) {
      const sub = join(dir, 'd');
      await mkdir(sub);
      await utimes(sub, 1000, 1000);
      await writeFile(join(sub, 'f'), '');
      const created = await stat(sub);
      assert.ok(created.mtimeMs > 1e12);
      await utimes(sub, 1000, 1000);
      await unlink(join(sub, 'f'));
      assert.ok((await stat(sub)).mtimeMs > 1e12);
    },
  },
  {
    name: 'a set-group-ID directory gives its group to what is created in it',
    root: true,
    async run(dir) {
      await mkdir(join(dir, 'd'));
      await chown(join(dir, 'd'), 0, 777);
      await chmod(join(dir, 'd'), 0o2775);
      await shell('touch d/f; mkdir d/e; mkfifo d/p; ln -s x d/s', dir);
      assert.equal((await stat(join(dir, 'd', 'f'))).gid, 777);
      assert.equal((await stat(join(dir, 'd', 'p'))).gid, 777);
      const sub = await stat(join(dir, 'd', 'e'));
      assert.equal(sub.gid, 777);
      assert.equal(sub.mode & 0o2000, 0o2000);
    },
  },
  {
    name: 'statfs says how long names may be and how much there is',
    async run(dir) {
      const { bsize, blocks, bavail } = await statfs(dir);
      assert.ok(bsize > 0 && blocks > 0 && bavail >= 0 && bavail <= blocks);
      assert.equal((await shell('getconf NAME_MAX .', dir)).trim(), '255');
    },
  },
  {
    name: 'st_blocks of an empty file is 0, of a full one is not',
    async run(dir) {
      await writeFile(join(dir, 'empty'), '');
      await writeFile(join(dir, 'full'), Buffer.alloc(1_000_000, 1));
      await shell('sync full', dir);
      assert.equal((await stat(join(dir, 'empty'))).blocks, 0);
      assert.ok((await stat(join(dir, 'full'))).blocks * 512 >= 500_000);
    },
  },
];
