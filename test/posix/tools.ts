import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, rename, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { killSqliteWriters } from './killed-writers.ts';
import { type Capability, execute, pattern, sameBytes, shell } from './posix-case.ts';

/** A program that people use, run on the filesystem in an empty directory, with its result checked. */
export interface ToolCase {
  readonly name: string;
  readonly requires: readonly string[];
  readonly needs?: readonly Capability[];
  run(dir: string): Promise<void>;
}

/** A small source tree: directories, many small files, a large one, an empty one, links, modes, old times. */
async function makeTree(path: string): Promise<void> {
  for (let d = 0; d < 8; d++) {
    const sub = join(path, `dir${d}`, 'nested');
    await mkdir(sub, { recursive: true });
    for (let f = 0; f < 12; f++) {
      await writeFile(join(sub, `file${f}.txt`), pattern(((d + 1) * (f + 3) * 997) % 30_000, d * 12 + f));
    }
  }
  await writeFile(join(path, 'large.bin'), pattern(3_000_000, 99));
  await writeFile(join(path, 'empty'), '');
  await writeFile(join(path, 'run.sh'), '#!/bin/sh\necho ran\n', { mode: 0o755 });
  await symlink('large.bin', join(path, 'to-large'));
  await symlink('nowhere', join(path, 'dangling'));
  await shell(
    'ln large.bin hard; touch -d "2001-02-03 04:05:06" dir0/nested/*; chmod 600 dir1/nested/file1.txt',
    path,
  );
}

const GIT =
  'export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null; ';

const MAIN_C =
  '#include <stdio.h>\nint twice(int);\nint main(void) { printf("%d\\n", twice(21)); return 0; }\n';
const MAKEFILE =
  'app: main.o twice.o\n\tgcc -o $@ $^\n%.o: %.c\n\tgcc -O1 -c -o $@ $<\nclean:\n\trm -f app *.o\n';

/** Times, modes, owners, sizes and names of a tree, one line each. */
const LISTING =
  "find . -printf '%P %y %m %U:%G %s %T@ %l\\n' | sed '/^ d/d; s/ d \\(.*\\) [0-9]* \\([0-9.]* \\)/ d \\1 \\2/' | sort";

export const toolCases: readonly ToolCase[] = [
  {
    name: 'cp -a and diff -r',
    requires: ['cp', 'diff'],
    async run(dir) {
      await makeTree(join(dir, 'tree'));
      await shell('cp -a tree copy; diff -r --no-dereference tree copy', dir);
      const [a, b] = [await shell(LISTING, join(dir, 'tree')), await shell(LISTING, join(dir, 'copy'))];
      assert.equal(b, a);
      assert.equal((await stat(join(dir, 'copy', 'hard'))).nlink, 2);
    },
  },
  {
    name: 'git init, commit, clone, gc, fsck',
    requires: ['git'],
    async run(dir) {
      await makeTree(join(dir, 'repo'));
      await shell(
        `${GIT}cd repo; git init -q -b main .; git add -A; git commit -qm first; echo change >> run.sh; git commit -qam second; git checkout -qb side; git rm -qr dir0; git commit -qm third; git checkout -q main; git merge -q side -m merged; git gc -q; git fsck --full --strict`,
        dir,
      );
      await shell(
        `${GIT}git clone -q --no-hardlinks repo clone; cd clone; git fsck --full --strict; git status --porcelain`,
        dir,
      );
      const status = await shell(
        `${GIT}git -C repo status --porcelain; git -C clone status --porcelain`,
        dir,
      );
      assert.equal(status, '');
      assert.equal((await shell(`${GIT}git -C clone log --oneline | wc -l`, dir)).trim(), '3');
      sameBytes(await readFile(join(dir, 'clone', 'large.bin')), pattern(3_000_000, 99), 'cloned file');
    },
  },
  {
    name: 'tar out and in',
    requires: ['tar', 'gzip'],
    async run(dir) {
      await makeTree(join(dir, 'tree'));
      await shell('tar czf tree.tgz tree; mkdir out; tar xpzf tree.tgz -C out', dir);
      await shell('diff -r --no-dereference tree out/tree', dir);
    },
  },
  {
    name: 'tar with the times that it packed',
    requires: ['tar'],
    needs: ['single-times'], // tar sets the modification time alone
    async run(dir) {
      await makeTree(join(dir, 'tree'));
      await shell('tar cf tree.tar tree; mkdir out; tar xpf tree.tar -C out; tar df tree.tar -C out', dir);
    },
  },
  {
    name: 'rsync -a, twice, in place',
    requires: ['rsync'],
    async run(dir) {
      await makeTree(join(dir, 'tree'));
      await shell('rsync -aH --inplace tree/ copy/; diff -r --no-dereference tree copy', dir);
      const again = await shell('rsync -aH --inplace --itemize-changes tree/ copy/', dir);
      assert.equal(again, '', 'the second run found differences');
      await shell(
        'printf changed | dd of=tree/large.bin bs=1 seek=1500000 conv=notrunc status=none; rm tree/empty; rsync -aH --no-whole-file --inplace --delete --checksum tree/ copy/; diff -r --no-dereference tree copy',
        dir,
      );
    },
  },
  {
    name: 'rsync with temporary files and renames',
    requires: ['rsync'],
    async run(dir) {
      await makeTree(join(dir, 'tree'));
      await shell('rsync -a tree/ copy/; diff -r --no-dereference tree copy', dir);
      assert.equal(await shell('find copy -name ".*.??????"', dir), '');
    },
  },
  {
    name: 'mv within and from another filesystem',
    requires: ['mv', 'mktemp'],
    async run(dir) {
      await makeTree(join(dir, 'tree'));
      await shell('cp -a tree expected; mv tree moved; diff -r --no-dereference expected moved', dir);
      await shell(
        'outside=$(mktemp -d); mv moved "$outside/"; test ! -e moved; mv "$outside/moved" back; rmdir "$outside"; diff -r --no-dereference expected back',
        dir,
      );
    },
  },
  {
    name: 'find by name, type, size, time; with -delete',
    requires: ['find'],
    async run(dir) {
      await makeTree(join(dir, 'tree'));
      assert.equal((await shell('find tree -type f -name "file*.txt" | wc -l', dir)).trim(), '96');
      assert.equal((await shell('find tree -type d | wc -l', dir)).trim(), '17');
      assert.equal((await shell('find tree -type l | wc -l', dir)).trim(), '2');
      assert.equal((await shell('find tree -size +2000k -type f | wc -l', dir)).trim(), '2');
      assert.equal((await shell('find tree -type f ! -newermt 2002-01-01 | wc -l', dir)).trim(), '12');
      await shell('find tree -name "file1*.txt" -delete', dir);
      assert.equal((await shell('find tree -type f -name "file*.txt" | wc -l', dir)).trim(), '72');
      await shell('rm -r tree; test ! -e tree', dir);
    },
  },
  {
    name: 'sed -i, sort -o, tee -a, shell redirections',
    requires: ['sed', 'sort', 'tee'],
    async run(dir) {
      await shell('seq 1 20000 > numbers; sed -i "s/^/n/; /n7$/d" numbers', dir);
      const lines = (await readFile(join(dir, 'numbers'), 'utf8')).trim().split('\n');
      assert.equal(lines.length, 19_999);
      assert.equal(lines[6], 'n8');
      await shell(
        'sort -r -o numbers numbers; echo last | tee -a numbers > /dev/null; echo a > f; echo b >> f; echo c > f',
        dir,
      );
      assert.equal((await shell('tail -n 1 numbers; cat f', dir)).trim(), 'last\nc');
    },
  },
  {
    name: 'dd in many block sizes, seek, conv=notrunc, direct',
    requires: ['dd', 'cmp'],
    async run(dir) {
      await writeFile(join(dir, 'source'), pattern(2_500_001, 5));
      for (const blockSize of ['512', '4096', '5000', '65536', '1M', '3M']) {
        await shell(`dd if=source of=copy bs=${blockSize} status=none; cmp source copy`, dir);
      }
      await shell('dd if=source of=copy bs=64k conv=fsync status=none; cmp source copy', dir);
      await shell('dd if=source of=copy bs=1000 skip=2 seek=7 count=3 conv=notrunc status=none', dir);
      const expected = pattern(2_500_001, 5);
      expected.copy(expected, 7000, 2000, 5000);
      sameBytes(await readFile(join(dir, 'copy')), expected, 'after dd seek');
    },
  },
  {
    name: 'sha256sum -c',
    requires: ['sha256sum'],
    async run(dir) {
      await makeTree(join(dir, 'tree'));
      await shell(
        'find tree -type f -print0 | sort -z | xargs -0 sha256sum > sums; sha256sum --quiet -c sums',
        dir,
      );
      await shell('printf x | dd of=tree/large.bin bs=1 seek=1234567 conv=notrunc status=none', dir);
      const { code, stdout } = await execute('sha256sum', ['--quiet', '-c', 'sums'], { cwd: dir });
      assert.notEqual(code, 0, 'a changed byte went unnoticed');
      assert.match(stdout, /large\.bin: FAILED/);
    },
  },
  {
    name: 'sqlite3 with a rollback journal',
    requires: ['sqlite3'],
    run: (dir) => sqlite(dir, 'delete'),
  },
  {
    name: 'sqlite3 with a write-ahead log',
    requires: ['sqlite3'],
    run: (dir) => sqlite(dir, 'wal'),
  },
  {
    name: 'sqlite3 writers killed in the middle of transactions, rollback journal',
    requires: ['sqlite3'],
    run: (dir) => killSqliteWriters(dir, 'delete'),
  },
  {
    name: 'sqlite3 writers killed in the middle of transactions, write-ahead log',
    requires: ['sqlite3'],
    run: (dir) => killSqliteWriters(dir, 'wal'),
  },
  {
    name: 'vim saves a file',
    requires: ['vim'],
    async run(dir) {
      await writeFile(join(dir, 'text'), 'one\ntwo\n', { mode: 0o640 });
      await shell(
        'vim -u NONE -N -es -c "set backup writebackup backupcopy=no backupskip= backupdir=." -c "%s/two/three/" -c "x" text </dev/null',
        dir,
      );
      assert.equal(await readFile(join(dir, 'text'), 'utf8'), 'one\nthree\n');
      assert.equal(await readFile(join(dir, 'text~'), 'utf8'), 'one\ntwo\n');
      assert.equal((await stat(join(dir, 'text'))).mode & 0o777, 0o640);
      assert.deepEqual((await readdir(dir)).sort(), ['text', 'text~']);
    },
  },
  {
    name: 'an editor saves by writing a new file and renaming it',
    requires: [],
    async run(dir) {
      for (let i = 0; i < 30; i++) {
        await writeFile(join(dir, '.text.swp'), `version ${i}\n`, { flush: true });
        await rename(join(dir, '.text.swp'), join(dir, 'text'));
        assert.equal(await readFile(join(dir, 'text'), 'utf8'), `version ${i}\n`);
      }
      assert.deepEqual(await readdir(dir), ['text']);
    },
  },
  {
    name: 'make and gcc build only what changed',
    requires: ['make', 'gcc'],
    async run(dir) {
      await writeFile(join(dir, 'main.c'), MAIN_C);
      await writeFile(join(dir, 'twice.c'), 'int twice(int n) { return 2 * n; }\n');
      await writeFile(join(dir, 'Makefile'), MAKEFILE);
      assert.equal(await shell('make -s; ./app', dir), '42\n');
      assert.match(await shell('make', dir), /up to date/);
      await shell('touch -d "1 hour ago" *.c *.o app; touch -d "1 hour ago" main.o twice.o; touch app', dir);
      await writeFile(join(dir, 'twice.c'), 'int twice(int n) { return 3 * n; }\n');
      const output = await shell('make; ./app; make clean', dir);
      assert.match(output, /twice\.c/);
      assert.doesNotMatch(output, /-c -o main\.o/);
      assert.match(output, /^63$/m);
      assert.deepEqual((await readdir(dir)).sort(), ['Makefile', 'main.c', 'twice.c']);
    },
  },
  {
    name: 'two thousand small files',
    requires: [],
    async run(dir) {
      const count = 2000;
      const path = (i: number): string => join(dir, `pkg${i % 40}`, `file${i}.js`);
      for (let p = 0; p < 40; p++) await mkdir(join(dir, `pkg${p}`));
      for (let i = 0; i < count; i += 40) {
        await Promise.all(
          Array.from({ length: 40 }, (_, k) => writeFile(path(i + k), `module.exports = ${i + k};\n`)),
        );
      }
      for (let i = 0; i < count; i += 40) {
        await Promise.all(
          Array.from({ length: 40 }, async (_, k) => {
            assert.equal(await readFile(path(i + k), 'utf8'), `module.exports = ${i + k};\n`);
          }),
        );
      }
      assert.equal((await shell('find . -name "file*.js" | wc -l', dir)).trim(), String(count));
    },
  },
  {
    name: 'npm install from local packages',
    requires: ['npm', 'tar'],
    async run(dir) {
      for (const name of ['left', 'right']) {
        await mkdir(join(dir, name, 'lib'), { recursive: true });
        await writeFile(
          join(dir, name, 'package.json'),
          JSON.stringify({
            name: `local-${name}`,
            version: '1.0.0',
            main: 'index.js',
            bin: { [name]: 'index.js' },
          }),
        );
        await writeFile(join(dir, name, 'index.js'), `#!/usr/bin/env node\nmodule.exports = '${name}';\n`);
        for (let i = 0; i < 100; i++) await writeFile(join(dir, name, 'lib', `${i}.js`), `// ${i}\n`);
      }
      const flags = '--offline --no-audit --no-fund --loglevel=error --cache ../cache';
      await shell(
        `(cd left && npm pack --silent --cache ../cache > ../packed); mkdir app; cd app; npm init -y > /dev/null 2>&1; npm install ${flags} ../left/$(tail -n 1 ../packed) --install-links ../right`,
        dir,
      );
      const script = "console.log(require('local-left') + require('local-right'))";
      assert.equal(await shell(`node -e "${script}"`, join(dir, 'app')), 'leftright\n');
      assert.equal((await readdir(join(dir, 'app', 'node_modules', 'local-left', 'lib'))).length, 100);
      assert.ok((await stat(join(dir, 'app', 'node_modules', '.bin', 'right'))).mode & 0o100);
    },
  },
];

async function sqlite(dir: string, journal: 'delete' | 'wal'): Promise<void> {
  const insert = `
    pragma journal_mode=${journal};
    create table t(id integer primary key, a text, b blob);
    begin; with recursive n(i) as (select 1 union all select i+1 from n where i < 3000)
    insert into t select i, 'row ' || i, randomblob(300) from n; commit;
    create index t_a on t(a);`;
  const run = async (sql: string): Promise<string> => {
    const { code, stdout, stderr } = await execute('sqlite3', ['-bail', 'test.db'], { cwd: dir, input: sql });
    assert.equal(code, 0, `sqlite3 failed: ${stderr}`);
    return stdout.trim();
  };
  assert.equal(await run(insert), journal);
  for (let i = 0; i < 20; i++) await run(`insert into t(a, b) values('single ${i}', x'00');`);
  await run('delete from t where id % 3 = 0; vacuum;');
  assert.equal(await run('pragma integrity_check; select count(*) from t;'), 'ok\n2014');
  await Promise.all(
    Array.from({ length: 4 }, (_, w) =>
      run(`pragma busy_timeout=60000; insert into t(a) values('writer ${w}');`),
    ),
  );
  assert.equal(await run("pragma integrity_check; select count(*) from t where a like 'writer%';"), 'ok\n4');
}
