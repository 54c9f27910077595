import assert from 'node:assert/strict';
import { type CommandOptions, execute, type PosixCase, shell } from '../posix-case.ts';

const ALICE: CommandOptions = { uid: 4001, gid: 4001 };
const BOB: CommandOptions = { uid: 4002, gid: 4002 };
const CAROL: CommandOptions = { uid: 4003, gid: 4003 };
const STAFF = 5001;

async function modeOf(path: string, dir: string): Promise<string> {
  return (await shell(`stat -c %a ${path}`, dir)).trim();
}

async function refused(who: CommandOptions, script: string, dir: string): Promise<void> {
  const { code, stderr } = await execute('sh', ['-euc', script], { cwd: dir, ...who });
  assert.notEqual(code, 0, `should have been refused to ${who.uid}: ${script}`);
  assert.match(stderr, /denied|not permitted/i);
}

/** A Python program as ALICE with supplementary groups; it must succeed. */
async function asAlice(groups: readonly number[], program: string, dir: string): Promise<void> {
  const drop = `import os\nos.setgroups(${JSON.stringify(groups)})\nos.setgid(4001)\nos.setuid(4001)\n`;
  const { code, stderr } = await execute('python3', ['-c', drop + program], { cwd: dir });
  assert.equal(code, 0, `${program}\n${stderr}`);
}

/** Every way to change the content of `f`, which holds 5 bytes. */
const CHANGES: Readonly<Record<string, string>> = {
  write: 'f = os.open("f", os.O_WRONLY)\nos.write(f, b"x")',
  'write with O_APPEND': 'f = os.open("f", os.O_WRONLY | os.O_APPEND)\nos.write(f, b"x")',
  pwrite: 'f = os.open("f", os.O_RDWR)\nos.pwrite(f, b"x", 100)',
  writev: 'f = os.open("f", os.O_RDWR)\nos.writev(f, [b"x", b"y"])',
  truncate: 'os.truncate("f", 3)',
  'truncate that grows': 'os.truncate("f", 300)',
  ftruncate: 'f = os.open("f", os.O_RDWR)\nos.ftruncate(f, 3)',
  O_TRUNC: 'os.open("f", os.O_WRONLY | os.O_TRUNC)',
  posix_fallocate: 'f = os.open("f", os.O_RDWR)\nos.posix_fallocate(f, 0, 100)',
  copy_file_range:
    'f = os.open("f", os.O_RDWR)\ns = os.open("source", os.O_RDONLY)\nassert os.copy_file_range(s, f, 5) == 5',
  sendfile:
    'f = os.open("f", os.O_RDWR)\ns = os.open("source", os.O_RDONLY)\nassert os.sendfile(f, s, 0, 5) == 5',
};

export const setIdCases: readonly PosixCase[] = [
  ...Object.entries(CHANGES).map(
    ([name, program]): PosixCase => ({
      name: `setuid and setgid go when someone else changes the content: ${name}`,
      root: true,
      needs: ['caller-ids'],
      commands: ['python3'],
      async run(dir) {
        await shell('echo 1234 > f; echo 1234 > source; chmod 755 .; chmod 6777 f', dir);
        await asAlice([], program, dir);
        assert.equal(await modeOf('f', dir), '777');
      },
    }),
  ),
  {
    name: 'root keeps setuid and setgid when it changes the content',
    root: true,
    commands: ['python3'],
    async run(dir) {
      await shell('echo 1234 > f; echo 1234 > source; chmod 6777 f', dir);
      for (const [name, program] of Object.entries(CHANGES)) {
        const { code, stderr } = await execute('python3', ['-c', `import os\n${program}`], { cwd: dir });
        assert.equal(code, 0, stderr);
        assert.equal(await modeOf('f', dir), '6777', name);
      }
    },
  },
  {
    name: 'an owner who changes the group loses setuid and setgid',
    root: true,
    needs: ['caller-ids'],
    commands: ['python3'],
    async run(dir) {
      await shell('touch f; mkdir d; chown 4001:4001 f d; chmod 6755 f; chmod 2755 d; chmod 755 .', dir);
      await asAlice([STAFF], `os.chown("f", -1, ${STAFF})\nos.chown("d", -1, ${STAFF})`, dir);
      assert.equal(await shell('stat -c "%a %g" f d', dir), `755 ${STAFF}\n2755 ${STAFF}\n`);
    },
  },
  {
    name: 'chmod sets setgid only for members of the group',
    root: true,
    needs: ['caller-ids'],
    commands: ['python3'],
    async run(dir) {
      await shell(`touch f; mkdir d; chown 4001:${STAFF} f d; chmod 755 .`, dir);
      const program = 'for p in ("f", "d"): os.chmod(p, 0o2755)';
      await asAlice([], program, dir);
      assert.equal(await shell('stat -c %a f d', dir), '755\n755\n');
      await asAlice([STAFF], program, dir);
      assert.equal(await shell('stat -c %a f d', dir), '2755\n2755\n');
      await asAlice([], 'os.chmod("f", 0o4711)', dir);
      assert.equal(await modeOf('f', dir), '4711');
    },
  },
  {
    name: 'a set-group-ID directory of a foreign group gives its group but no set-group-ID program',
    root: true,
    needs: ['caller-ids'],
    commands: ['python3'],
    async run(dir) {
      await shell(`mkdir d; chown 0:${STAFF} d; chmod 2777 d; chmod 755 .`, dir);
      const program =
        'os.umask(0)\nfor n, m in (("f", 0o2775), ("g", 0o2664)): os.close(os.open("d/" + n, os.O_CREAT | os.O_WRONLY, m))\nos.mkdir("d/e", 0o755)\nos.mknod("d/n", 0o102775)';
      await asAlice([], program, dir);
      const expected = [`775 4001 ${STAFF}`, `2664 4001 ${STAFF}`, `2755 4001 ${STAFF}`, `775 4001 ${STAFF}`];
      assert.equal(await shell('stat -c "%a %u %g" d/f d/g d/e d/n', dir), `${expected.join('\n')}\n`);
      await asAlice([STAFF], `${program.replace(/d\//g, 'd/e/')}`, dir);
      assert.equal(await modeOf('d/e/f', dir), '2775');
    },
  },
  {
    name: 'a sticky directory: its owner and the owner of an entry remove it, nobody else',
    root: true,
    needs: ['caller-ids'],
    async run(dir) {
      await shell(
        'chmod 755 .; mkdir t; chown 4001:4001 t; chmod 1777 t; cd t; touch b1 b2 b3 c; mkdir bd; chown 4002:4002 b1 b2 b3 bd; chown 4003:4003 c',
        dir,
      );
      await refused(CAROL, 'rm -f t/b1', dir);
      await refused(CAROL, 'mv t/b1 t/x', dir);
      await refused(CAROL, 'mv -f t/c t/b1', dir);
      await refused(CAROL, 'rmdir t/bd', dir);
      await refused(CAROL, 'mv t/bd t/x', dir);
      await shell('rm t/b1; mv t/b2 t/x; mv t/x t/b2; rmdir t/bd', dir, BOB);
      await shell('rm t/b2; mv t/b3 t/y; rm -f t/y', dir, ALICE);
      await shell('chmod 777 t', dir, ALICE);
      await shell('touch t/b1; chown 4002:4002 t/b1', dir);
      await shell('rm -f t/b1', dir, CAROL);
    },
  },
  {
    name: 'sticky, setuid and setgid survive what is not for them to go',
    root: true,
    async run(dir) {
      await shell('touch f; chmod 6755 f; mkdir d; chmod 3777 d', dir);
      await shell('mv f g; ln g h; touch g; cat g; chmod 3777 d; touch d/x; rm d/x; mv d e', dir);
      assert.equal(await shell('stat -c %a g h e', dir), '6755\n6755\n3777\n');
    },
  },
];
