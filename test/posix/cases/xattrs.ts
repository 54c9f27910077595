import assert from 'node:assert/strict';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { execute, NOBODY, type PosixCase, python, shell } from '../posix-case.ts';

/** What every program here begins with: the system calls themselves, since Python's functions look for the size. */
const PRELUDE = `
import ctypes, errno, os, stat
libc = ctypes.CDLL(None, use_errno=True)
def call(function, *arguments):
    result = function(*arguments)
    return result if result >= 0 else -ctypes.get_errno()
def get(path, name, size):
    buffer = ctypes.create_string_buffer(max(size, 1))
    result = call(libc.lgetxattr, path.encode(), name.encode(), buffer, size)
    return buffer.raw[:result] if result > 0 and size > 0 else result
def names(path, size):
    buffer = ctypes.create_string_buffer(max(size, 1))
    result = call(libc.llistxattr, path.encode(), buffer, size)
    return buffer.raw[:result] if result > 0 and size > 0 else result
def put(path, name, value, flags=0):
    return call(libc.lsetxattr, path.encode(), name.encode(), value, len(value), flags)
def drop(path, name):
    return call(libc.lremovexattr, path.encode(), name.encode())
def same(actual, expected):
    assert actual == expected, (actual, expected)
open("f", "w").close()
`;

/** As NOBODY from here on. */
const DROP = `
os.setgroups([])
os.setgid(${NOBODY.gid})
os.setuid(${NOBODY.uid})
`;

const LIMITS = `${PRELUDE}
long = "user." + "n" * 250
same(put("f", long, b"v"), 0)
same(get("f", long, 10), b"v")
same(put("f", long + "n", b"v"), -errno.ERANGE)
same(get("f", long + "n", 10), -errno.ERANGE)
same(drop("f", long + "n"), -errno.ERANGE)
same(put("f", "", b"v"), -errno.ERANGE)
same(put("f", "user.", b"v"), -errno.EINVAL)
same(put("f", "nowhere.a", b"v"), -errno.EOPNOTSUPP)
same(put("f", "system.nothing", b"v"), -errno.EOPNOTSUPP)
same(put("f", "user.a", bytes(65537)), -errno.E2BIG)
same(put("f", "user.a", b"v", 4), -errno.EINVAL)
same(drop("f", long), 0)
# Sizes: zero asks, too small is refused, an empty value is one.
same(names("f", 0), 0)
same(put("f", "user.a", b"12345"), 0)
same(put("f", "user.empty", b""), 0)
same(get("f", "user.a", 0), 5)
same(get("f", "user.a", 4), -errno.ERANGE)
same(get("f", "user.a", 5), b"12345")
same(get("f", "user.empty", 0), 0)
same(get("f", "user.empty", 9), 0)
same(names("f", 0), len("user.a") + len("user.empty") + 2)
same(names("f", names("f", 0) - 1), -errno.ERANGE)
same(sorted(names("f", 100).split(b"\\0")), [b"", b"user.a", b"user.empty"])
same(put("f", "user.empty", b"", os.XATTR_CREATE), -errno.EEXIST)
same(put("f", "user.none", b"", os.XATTR_REPLACE), -errno.ENODATA)
same(put("f", "user.a", b"", os.XATTR_REPLACE), 0)
same(get("f", "user.a", 9), 0)
`;

const LARGE = `${PRELUDE}
value = bytes(i * i % 251 for i in range(65536))
same(put("f", "user.large", value), 0)
same(get("f", "user.large", 0), 65536)
same(get("f", "user.large", 65536), value)
same(get("f", "user.large", 65535), -errno.ERANGE)
same(drop("f", "user.large"), 0)
for i in range(256):
    same(put("f", "user." + str(i).rjust(250, "n"), b"v"), 0)
same(names("f", 0), 65536)
same(len(names("f", 65536)), 65536)
same(names("f", 65535), -errno.ERANGE)
same(put("f", "user.x", b"v"), -errno.ENOSPC)
same(put("f", "user." + "7".rjust(250, "n"), b"replaced"), 0)
same(drop("f", "user." + "9".rjust(250, "n")), 0)
same(put("f", "user.x", b"v"), 0)
`;

const KINDS = `${PRELUDE}
os.mkdir("d"); os.symlink("f", "s"); os.mkfifo("p")
os.mknod("sock", stat.S_IFSOCK | 0o600); os.mknod("null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
same([put(k, "user.a", b"v") for k in ("f", "d")], [0, 0])
for kind in ("s", "p", "sock", "null"):
    same(put(kind, "user.a", b"v"), -errno.EPERM)
    same(get(kind, "user.a", 0), -errno.ENODATA)
    same(put(kind, "trusted.a", b"t"), 0)
    same(get(kind, "trusted.a", 9), b"t")
    same(put(kind, "security.ringfs", b"s"), 0)
    same(sorted(names(kind, 100).split(b"\\0")), [b"", b"security.ringfs", b"trusted.a"])
    same(drop(kind, "trusted.a"), 0)
    same(get(kind, "trusted.a", 9), -errno.ENODATA)
`;

const TRUSTED = `${PRELUDE}
os.chmod("f", 0o666)
same(put("f", "trusted.t", b"t"), 0)
same(put("f", "security.s", b"s"), 0)
same(put("f", "user.u", b"u"), 0)
same(get("f", "trusted.t", 9), b"t")
same(sorted(names("f", 100).split(b"\\0")), [b"", b"security.s", b"trusted.t", b"user.u"])
os.mkdir("sticky"); os.chmod("sticky", 0o1777)
os.mkdir("mine"); os.chown("mine", ${NOBODY.uid}, ${NOBODY.gid}); os.chmod("mine", 0o1777)
open("readable", "w").close(); os.chmod("readable", 0o644)
same(put("readable", "user.u", b"u"), 0)
open("private", "w").close(); os.chmod("private", 0o600)
same(put("private", "user.u", b"u"), 0)
os.chmod(".", 0o755)
${DROP}
same(get("f", "trusted.t", 9), -errno.ENODATA)
same(put("f", "trusted.t", b"x"), -errno.EPERM)
same(drop("f", "trusted.t"), -errno.EPERM)
same(get("f", "security.s", 9), b"s")
same(put("f", "security.s", b"x"), -errno.EPERM)
same(put("f", "user.mine", b"m"), 0)
same(sorted(names("f", 100).split(b"\\0")), [b"", b"security.s", b"user.mine", b"user.u"])
same(get("readable", "user.u", 9), b"u")
same(put("readable", "user.u", b"x"), -errno.EACCES)
same(get("private", "user.u", 9), -errno.EACCES)
# In a sticky directory only its owner sets attributes of the directory itself.
same(put("sticky", "user.a", b"x"), -errno.EPERM)
same(put("mine", "user.a", b"x"), 0)
`;

const TIMES = `${PRELUDE}
def times():
    s = os.stat("f")
    return s.st_mtime_ns, s.st_ctime_ns
os.utime("f", ns=(10**18, 10**18))
mtime, ctime = times()
for change in (lambda: put("f", "user.a", b"1"), lambda: put("f", "user.a", b"2"), lambda: drop("f", "user.a")):
    while True:
        # A clock of coarse ticks may not have moved since.
        same(change(), 0)
        now = times()
        same(now[0], mtime)
        assert now[1] >= ctime
        if now[1] > ctime: break
        put("f", "user.a", b"0")
    ctime = now[1]
`;

const INODE = `${PRELUDE}
same(put("f", "user.a", b"1"), 0)
os.link("f", "g"); os.mkdir("d"); os.rename("f", "d/f")
same(get("g", "user.a", 9), b"1")
same(put("d/f", "user.a", b"2"), 0)
same(get("g", "user.a", 9), b"2")
fd = os.open("g", os.O_RDWR)
os.unlink("g"); os.unlink("d/f")
same(os.getxattr(fd, "user.a"), b"2")
os.setxattr(fd, "user.b", b"3")
same(sorted(os.listxattr(fd)), ["user.a", "user.b"])
open("f", "w").close()
same(names("f", 0), 0)
`;

/** Whether `f` has the capability that the cases give it. */
async function capability(dir: string): Promise<boolean> {
  return (await shell('getcap f', dir)).includes('cap_net_raw');
}

export const xattrCases: readonly PosixCase[] = [
  {
    name: 'names, values and buffers of extended attributes have the limits of the kernel',
    commands: ['python3'],
    run: async (dir) => {
      await python(LIMITS, dir);
    },
  },
  {
    name: 'an attribute of 64 KiB, and 64 KiB of names',
    needs: ['large-xattrs'],
    commands: ['python3'],
    run: async (dir) => {
      await python(LARGE, dir);
    },
  },
  {
    name: 'user attributes belong to files and directories; trusted and security ones to all',
    root: true,
    commands: ['python3'],
    run: async (dir) => {
      await python(KINDS, dir);
    },
  },
  {
    name: 'trusted attributes are hidden from users, security ones read-only',
    root: true,
    needs: ['caller-ids'],
    commands: ['python3'],
    run: async (dir) => {
      await python(TRUSTED, dir);
    },
  },
  {
    name: 'an attribute changes ctime only',
    commands: ['python3'],
    run: async (dir) => {
      await python(TIMES, dir);
    },
  },
  {
    name: 'attributes belong to the inode, also without a name',
    needs: ['unlinked-open'],
    commands: ['python3'],
    run: async (dir) => {
      await python(INODE, dir);
    },
  },
  {
    name: 'file capabilities go with a write, a truncation, a chown',
    root: true,
    commands: ['setcap', 'getcap'],
    async run(dir) {
      for (const change of ['echo x >> f', 'truncate -s 1 f', ': > f', 'chown 7 f', 'chgrp 7 f']) {
        await shell('rm -f f; echo 12345 > f; chmod 755 f; setcap cap_net_raw+ep f', dir);
        assert.equal(await capability(dir), true);
        await shell('chmod 700 f; mv f g; mv g f; cat f', dir);
        assert.equal(await capability(dir), true, 'kept by chmod, rename, read');
        await shell(change, dir);
        assert.equal(await capability(dir), false, change);
      }
    },
  },
  {
    name: 'a file capability set after a write stays when the data is flushed',
    root: true,
    commands: ['setcap', 'getcap', 'python3'],
    async run(dir) {
      const program =
        'import os, subprocess\nfd = os.open("f", os.O_CREAT | os.O_RDWR, 0o755)\nos.write(fd, b"x" * 100000)\nsubprocess.run(["setcap", "cap_net_raw+ep", "f"], check=True)\nos.fsync(fd)\nos.close(fd)';
      await python(program, dir);
      assert.equal(await capability(dir), true);
      assert.equal((await stat(join(dir, 'f'))).size, 100_000);
    },
  },
  {
    name: 'cp, tar and rsync copy attributes',
    commands: ['python3', 'tar', 'rsync'],
    async run(dir) {
      await python(
        'import os\nos.makedirs("t/d")\nfor p in ("t/f", "t/d/g"):\n open(p, "w").write(p)\nfor p in ("t/f", "t/d", "t/d/g"):\n os.setxattr(p, "user.name", p.encode())\n os.setxattr(p, "user.empty", b"")',
        dir,
      );
      await shell(
        'cp -a t a; mkdir b; tar --xattrs -cf - -C t . | tar --xattrs --xattrs-include="user.*" -xpf - -C b; rsync -aX t/ c/',
        dir,
      );
      for (const copy of ['a', 'b', 'c']) {
        const program = `import os\nfor p in ("f", "d", "d/g"):\n assert sorted(os.listxattr("${copy}/" + p)) == ["user.empty", "user.name"], p\n assert os.getxattr("${copy}/" + p, "user.name") == ("t/" + p).encode()`;
        const { code, stderr } = await execute('python3', ['-c', program], { cwd: dir });
        assert.equal(code, 0, `${copy}: ${stderr}`);
      }
    },
  },
];
