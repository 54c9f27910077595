import assert from 'node:assert/strict';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type CommandOptions, execute, type PosixCase, python, shell } from '../posix-case.ts';

/** Users and groups that need no entry in /etc/passwd; lists name them by number. */
const ALICE: CommandOptions = { uid: 4001, gid: 4001 };
const BOB: CommandOptions = { uid: 4002, gid: 4002 };
const STAFF = 5001;

const NEEDS = { needs: ['access-lists'], commands: ['setfacl', 'getfacl'], root: true } as const;

async function allowed(who: CommandOptions, script: string, dir: string): Promise<void> {
  await shell(script, dir, who);
}

async function refused(who: CommandOptions, script: string, dir: string): Promise<void> {
  const { code, stderr } = await execute('sh', ['-euc', script], { cwd: dir, ...who });
  assert.notEqual(code, 0, `should have been refused to ${who.uid}: ${script}`);
  assert.match(stderr, /denied|not permitted|cannot create/i);
}

/** `script` in Python, as a user with supplementary groups. */
async function inGroups(groups: readonly number[], script: string, dir: string): Promise<boolean> {
  const program = `import os\nos.setgroups(${JSON.stringify(groups)})\nos.setgid(4002)\nos.setuid(4002)\ntry:\n ${script}\nexcept PermissionError:\n os._exit(3)`;
  const { code, stderr } = await execute('python3', ['-c', program], { cwd: dir });
  assert.ok(code === 0 || code === 3, stderr);
  return code === 0;
}

/** The list as getfacl prints it, one entry per line. */
async function aclOf(path: string, dir: string): Promise<string[]> {
  return (await shell(`getfacl -cnE ${path}`, dir)).trim().split('\n');
}

async function modeOf(path: string, dir: string): Promise<string> {
  return (await shell(`stat -c %a ${path}`, dir)).trim();
}

const MALFORMED = `
import errno, os, struct
A, D = "system.posix_acl_access", "system.posix_acl_default"
def acl(*entries, version=2):
    return struct.pack("<I", version) + b"".join(struct.pack("<HHI", *e) for e in entries)
NONE = 0xffffffff
base = [(1, 6, NONE), (4, 4, NONE), (32, 0, NONE)]
def fails(code, path, name, value):
    try:
        os.setxattr(path, name, value)
    except OSError as e:
        assert e.errno == code, (name, value, e.errno, code)
        return
    raise AssertionError(("should have failed", name, value))
open("f", "w").close()
os.mkdir("d")
os.chmod("f", 0o644)
for path, name in (("f", A), ("d", A), ("d", D)):
    fails(errno.EINVAL, path, name, b"x")
    fails(errno.EINVAL, path, name, acl(*base)[:-1])
    fails(errno.EOPNOTSUPP, path, name, acl(*base, version=3))
    fails(errno.EINVAL, path, name, acl(*base[:2]))
    fails(errno.EINVAL, path, name, acl(base[0], (2, 4, 7), *base[1:]))
    fails(errno.EINVAL, path, name, acl(base[1], base[0], base[2]))
    fails(errno.EINVAL, path, name, acl((1, 8, NONE), *base[1:]))
    fails(errno.EINVAL, path, name, acl(*base, (64, 0, NONE)))
fails(errno.EACCES, "f", D, acl(*base))
assert os.stat("f").st_mode & 0o7777 == 0o644
assert os.listxattr("f") == [] and os.listxattr("d") == []
# Three entries are a mode. Without entries, a list is removed.
os.setxattr("f", A, acl(*base))
assert os.stat("f").st_mode & 0o7777 == 0o640
assert os.listxattr("f") == []
try:
    os.getxattr("f", A)
    raise AssertionError("a minimal list was kept")
except OSError as e:
    assert e.errno == errno.ENODATA
os.setxattr("f", A, acl(base[0], (2, 6, 7), base[1], (16, 6, NONE), base[2]))
assert os.listxattr("f") == [A]
assert os.getxattr("f", A) == acl(base[0], (2, 6, 7), base[1], (16, 6, NONE), base[2])
os.removexattr("f", A)
assert os.listxattr("f") == [] and os.stat("f").st_mode & 0o7777 == 0o660
os.removexattr("f", A)
os.setxattr("d", D, acl(*base))
assert os.listxattr("d") == [D]
os.removexattr("d", D)
assert os.listxattr("d") == []
`;

export const aclCases: readonly PosixCase[] = [
  {
    name: 'an access list lets a named user in, and nobody else',
    ...NEEDS,
    async run(dir) {
      await shell('echo secret > f; chmod 600 f; setfacl -m u:4001:r f', dir);
      assert.equal(await modeOf('f', dir), '640');
      await allowed(ALICE, 'cat f', dir);
      await refused(ALICE, 'echo x >> f', dir);
      await refused(BOB, 'cat f', dir);
      await shell('setfacl -m u:4001:rw f', dir);
      await allowed(ALICE, 'echo x >> f', dir);
      await shell('setfacl -x u:4001 f', dir);
      await refused(ALICE, 'cat f', dir);
    },
  },
  {
    name: 'an access list refuses a named user what others may',
    ...NEEDS,
    async run(dir) {
      await shell('echo public > f; chmod 644 f; setfacl -m u:4001:- f', dir);
      await refused(ALICE, 'cat f', dir);
      await allowed(BOB, 'cat f', dir);
    },
  },
  {
    name: 'an access list counts every group of the caller',
    ...NEEDS,
    commands: ['setfacl', 'getfacl', 'python3'],
    async run(dir) {
      await shell(`echo x > f; chmod 600 f; setfacl -m g:${STAFF}:r,g:5002:w f`, dir);
      assert.equal(await inGroups([], 'open("f").read()', dir), false);
      assert.equal(await inGroups([5003], 'open("f").read()', dir), false);
      assert.equal(await inGroups([5003, STAFF], 'open("f").read()', dir), true);
      assert.equal(await inGroups([STAFF], 'open("f", "a")', dir), false);
      assert.equal(await inGroups([5002], 'open("f", "a")', dir), true);
      // One group that may read and one that may write do not add up to one that may both.
      assert.equal(await inGroups([STAFF, 5002], 'open("f", "r+")', dir), false);
    },
  },
  {
    name: 'the group bits of the mode are the mask, not what the owning group may',
    ...NEEDS,
    commands: ['setfacl', 'getfacl', 'python3'],
    async run(dir) {
      await shell(`echo x > f; chown 0:${STAFF} f; chmod 600 f; setfacl -m u:4001:rw f`, dir);
      assert.equal(await modeOf('f', dir), '660');
      assert.equal(await inGroups([STAFF], 'open("f").read()', dir), false);
      await shell('setfacl -m g::r f', dir);
      assert.equal(await inGroups([STAFF], 'open("f").read()', dir), true);
      await shell('setfacl -m m::- f', dir);
      assert.equal(await inGroups([STAFF], 'open("f").read()', dir), false);
      await refused(ALICE, 'cat f', dir);
    },
  },
  {
    name: 'chmod sets the mask, and takes effect at once',
    ...NEEDS,
    async run(dir) {
      await shell('echo x > f; chmod 600 f; setfacl -m u:4001:rw,g::r f', dir);
      await allowed(ALICE, 'cat f', dir);
      // Not 604: with no group bits at all Linux does not look at the list (acl_permission_check in fs/namei.c).
      await shell('chmod 614 f', dir);
      assert.deepEqual(await aclOf('f', dir), [
        'user::rw-',
        'user:4001:rw-',
        'group::r--',
        'mask::--x',
        'other::r--',
      ]);
      await refused(ALICE, 'cat f', dir);
      await allowed(BOB, 'cat f', dir);
      await shell('chmod 4750 f', dir);
      assert.equal(await modeOf('f', dir), '4750');
      assert.deepEqual(await aclOf('f', dir), [
        'user::rwx',
        'user:4001:rw-',
        'group::r--',
        'mask::r-x',
        'other::---',
      ]);
      await allowed(ALICE, 'cat f', dir);
      await refused(ALICE, 'echo x >> f', dir);
    },
  },
  {
    name: 'a removed access list leaves the mode',
    ...NEEDS,
    async run(dir) {
      await shell('echo x > f; chmod 600 f; setfacl -m u:4001:rw,g::r f; setfacl -b f', dir);
      assert.equal(await modeOf('f', dir), '640');
      assert.deepEqual(await aclOf('f', dir), ['user::rw-', 'group::r--', 'other::---']);
      await refused(ALICE, 'cat f', dir);
    },
  },
  {
    name: 'access lists of directories decide who passes, lists and makes',
    ...NEEDS,
    async run(dir) {
      await shell('mkdir d; echo x > d/f; chmod 644 d/f; chmod 700 d; setfacl -m u:4001:x d', dir);
      await allowed(ALICE, 'cat d/f', dir);
      await refused(ALICE, 'ls d', dir);
      await refused(ALICE, 'touch d/g', dir);
      await refused(BOB, 'cat d/f', dir);
      await shell('setfacl -m u:4001:rwx d', dir);
      await allowed(ALICE, 'ls d; touch d/g; mv d/g d/h; rm d/h', dir);
    },
  },
  {
    name: 'a default access list takes the place of the umask',
    ...NEEDS,
    async run(dir) {
      await shell('mkdir d; chmod 755 d; setfacl -d -m u:4001:rwx,g::rx,o::- d', dir);
      assert.equal(await modeOf('d', dir), '755');
      await shell('umask 077; touch d/f; mkdir d/e; mkfifo d/p; ln -s x d/s', dir);
      const file = ['user::rw-', 'user:4001:rwx', 'group::r-x', 'mask::rw-', 'other::---'];
      assert.deepEqual(await aclOf('d/f', dir), file);
      assert.deepEqual(await aclOf('d/p', dir), file);
      const list = ['user::rwx', 'user:4001:rwx', 'group::r-x', 'mask::rwx', 'other::---'];
      assert.deepEqual(await aclOf('d/e', dir), [...list, ...list.map((entry) => `default:${entry}`)]);
      assert.equal(await shell('stat -c %a d/f d/e d/p d/s', dir), '660\n770\n660\n777\n');
      await allowed(ALICE, 'echo x > d/f', dir);
      await shell('mkdir -m 700 d/e/private; umask 0; touch d/e/private/f', dir);
      assert.equal(await shell('stat -c %a d/e/private d/e/private/f', dir), '700\n660\n');
      assert.deepEqual((await aclOf('d/e/private', dir)).slice(0, 5), [
        'user::rwx',
        'user:4001:rwx',
        'group::r-x',
        'mask::---',
        'other::---',
      ]);
      await refused(ALICE, 'cat d/e/private/f', dir);
    },
  },
  {
    name: 'a default access list without named entries gives only a mode',
    ...NEEDS,
    async run(dir) {
      await shell('mkdir d; setfacl -d -m u::rwx,g::rx,o::- d; umask 077; touch d/f; mkdir d/e', dir);
      assert.equal(await shell('stat -c %a d/f d/e', dir), '640\n750\n');
      assert.deepEqual(await aclOf('d/f', dir), ['user::rw-', 'group::r--', 'other::---']);
      assert.equal((await aclOf('d/e', dir)).length, 6);
      await shell('setfacl -k d; umask 027; touch d/g', dir);
      assert.equal(await modeOf('d/g', dir), '640');
      assert.deepEqual((await aclOf('d', dir)).length, 3);
    },
  },
  {
    name: 'a default access list in a set-group-ID directory',
    ...NEEDS,
    async run(dir) {
      await shell(`mkdir d; chown 0:${STAFF} d; chmod 2775 d; setfacl -d -m g:5002:rwx,o::- d`, dir);
      await shell('umask 077; touch d/f; mkdir d/e', dir);
      const { gid, mode } = await stat(join(dir, 'd', 'e'));
      assert.deepEqual([gid, mode & 0o7777], [STAFF, 0o2770]);
      assert.equal((await stat(join(dir, 'd', 'f'))).gid, STAFF);
    },
  },
  {
    name: 'an access list stays with its inode: links, renames, owners',
    ...NEEDS,
    async run(dir) {
      await shell(
        'mkdir d e; setfacl -d -m u:4002:rwx e; echo x > d/f; setfacl -m u:4001:r d/f; ln d/f d/g; mv d/f e/f; chown 4003 e/f',
        dir,
      );
      const expected = ['user::rw-', 'user:4001:r--', 'group::r--', 'mask::r--', 'other::r--'];
      assert.deepEqual(await aclOf('e/f', dir), expected);
      assert.deepEqual(await aclOf('d/g', dir), expected);
    },
  },
  {
    name: 'only the owner sets an access list',
    ...NEEDS,
    async run(dir) {
      await shell('touch f; chmod 666 f; setfacl -m u:4001:rw f; touch own; chown 4001:4001 own', dir);
      await refused(ALICE, 'setfacl -m u:4001:rwx f', dir);
      await refused(ALICE, 'setfacl -b f', dir);
      await allowed(ALICE, 'setfacl -m u:4002:rwx own; setfacl -b own', dir);
    },
  },
  {
    name: 'setting an access list takes set-group-ID from who is not in the group',
    ...NEEDS,
    async run(dir) {
      await shell(`touch f; chown 4001:${STAFF} f; chmod 2755 f; setfacl -m u:4002:rwx f`, dir);
      assert.equal(await modeOf('f', dir), '2775');
      await allowed(ALICE, 'setfacl -m u:4002:rx f', dir);
      assert.equal(await modeOf('f', dir), '755');
      await shell('touch g; chown 4001:4001 g; chmod 2755 g', dir);
      await allowed(ALICE, 'setfacl -m u:4002:rwx g', dir);
      assert.equal(await modeOf('g', dir), '2775');
    },
  },
  {
    name: 'malformed access lists are refused, minimal ones are modes',
    ...NEEDS,
    commands: ['python3'],
    run: async (dir) => {
      await python(MALFORMED, dir);
    },
  },
  {
    name: 'an access list of four hundred users',
    ...NEEDS,
    async run(dir) {
      const users = Array.from({ length: 400 }, (_, i) => `u:${6000 + i}:r`);
      await shell('echo x > f; chmod 600 f; setfacl -M - f', dir, { input: users.join('\n') });
      assert.equal((await aclOf('f', dir)).length, 404);
      await allowed({ uid: 6399, gid: 6399 }, 'cat f', dir);
      await refused({ uid: 6400, gid: 6400 }, 'cat f', dir);
    },
  },
  ...(
    [
      ['cp -a', 'cp', 'cp -a tree copy'],
      ['tar --acls', 'tar', 'mkdir copy; tar --acls -cf - -C tree . | tar --acls -xpf - -C copy'],
      ['rsync -A', 'rsync', 'rsync -aA tree/ copy/'],
    ] as const
  ).map(
    ([name, command, script]): PosixCase => ({
      name: `${name} copies access lists`,
      ...NEEDS,
      commands: ['setfacl', 'getfacl', command],
      async run(dir) {
        await shell(
          'mkdir -p tree/d/e; echo x > tree/f; echo y > tree/d/g; chmod 600 tree/f; setfacl -m u:4001:rw,g:5001:r tree/f; setfacl -m u:4001:rx tree/d; setfacl -d -m u:4002:rwx,o::- tree/d; touch tree/d/inherited; setfacl -m m::r tree/d/inherited',
          dir,
        );
        await shell(script, dir);
        const listing = (root: string): Promise<string> => shell('getfacl -Rpn . | sort', join(dir, root));
        const expected = await listing('tree');
        assert.match(expected, /default:user:4002:rwx/);
        assert.equal(await listing('copy'), expected);
      },
    }),
  ),
];
