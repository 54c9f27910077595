import type { PosixCase } from '../posix-case.ts';
import { pythonCase } from '../python-case.ts';

/** Flags of open(2), and descriptors of directories whose names moved or went. */
export const descriptorCases: readonly PosixCase[] = [
  pythonCase(
    'O_PATH opens without access, for stat and openat only',
    `
os.mkdir("d")
write_file("d/f", b"content")
os.symlink("d/f", "s")
fd = os.open("d/f", os.O_PATH)
assert os.fstat(fd).st_size == 7
fails(errno.EBADF, os.read, fd, 1)
fails(errno.EBADF, os.fchmod, fd, 0o600)
assert read_file("/proc/self/fd/%d" % fd) == b"content"
os.close(fd)
d = os.open("d", os.O_PATH | os.O_DIRECTORY)
f = os.open("f", os.O_RDONLY, dir_fd=d)
assert os.read(f, 10) == b"content"
os.close(f)
fails(errno.EBADF, os.listdir, d)
os.close(d)
s = os.open("s", os.O_PATH | os.O_NOFOLLOW)
assert stat.S_ISLNK(os.fstat(s).st_mode)
assert os.readlink("", dir_fd=s) == "d/f"
os.close(s)
`,
  ),
  pythonCase(
    'O_NOFOLLOW, O_DIRECTORY, O_EXCL and O_CREAT on links',
    `
os.mkdir("d")
write_file("f", b"x")
os.symlink("f", "to-f")
os.symlink("d", "to-d")
os.symlink("nowhere", "dangling")
fails(errno.ELOOP, os.open, "to-f", os.O_RDONLY | os.O_NOFOLLOW)
fails(errno.ENOTDIR, os.open, "to-d", os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
fails(errno.ENOTDIR, os.open, "to-f", os.O_RDONLY | os.O_DIRECTORY)
os.close(os.open("to-d", os.O_RDONLY | os.O_DIRECTORY))
os.close(os.open("to-d/.", os.O_RDONLY | os.O_NOFOLLOW))
for name in ("f", "d", "to-f", "dangling"):
    fails(errno.EEXIST, os.open, name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
assert not os.path.exists("nowhere")
os.close(os.open("dangling", os.O_WRONLY | os.O_CREAT))
assert os.path.exists("nowhere")
fails(errno.EISDIR, os.open, "d", os.O_WRONLY)
fails(errno.EISDIR, os.open, "d", os.O_RDONLY | os.O_CREAT)
fails(errno.EISDIR, os.open, "d", os.O_RDWR | os.O_TRUNC)
`,
  ),
  pythonCase(
    'openat, renameat, unlinkat, linkat through a directory that was renamed',
    `
os.makedirs("a/b")
d = os.open("a/b", os.O_RDONLY | os.O_DIRECTORY)
f = os.open("one", os.O_CREAT | os.O_WRONLY, dir_fd=d)
os.rename("a", "c")
os.rename("c/b", "moved")
os.write(f, b"1")
os.close(f)
os.close(os.open("two", os.O_CREAT | os.O_WRONLY, dir_fd=d))
os.mkdir("three", dir_fd=d)
os.symlink("one", "link", dir_fd=d)
os.link("one", "hard", src_dir_fd=d, dst_dir_fd=d)
os.rename("two", "zwei", src_dir_fd=d, dst_dir_fd=d)
assert sorted(os.listdir("moved")) == sorted(os.listdir(d)) == ["hard", "link", "one", "three", "zwei"]
assert read_file("moved/link") == b"1"
os.rename("zwei", "out", src_dir_fd=d)
assert os.path.exists("out")
os.unlink("hard", dir_fd=d)
os.rmdir("three", dir_fd=d)
assert sorted(os.listdir("moved")) == ["link", "one"]
assert os.stat("..", dir_fd=d).st_ino == os.stat(".").st_ino
os.close(d)
`,
  ),
  pythonCase(
    'a removed directory: ENOENT for what would be made in it, empty to readers',
    `
os.mkdir("d")
os.mkdir("other")
write_file("f", b"x")
d = os.open("d", os.O_RDONLY | os.O_DIRECTORY)
os.rmdir("d")
fails(errno.ENOENT, os.open, "x", os.O_CREAT | os.O_WRONLY, dir_fd=d)
fails(errno.ENOENT, os.mkdir, "x", dir_fd=d)
fails(errno.ENOENT, os.symlink, "t", "x", dir_fd=d)
fails(errno.ENOENT, os.link, "f", "x", dst_dir_fd=d)
fails(errno.ENOENT, os.rename, "f", "x", dst_dir_fd=d)
fails(errno.ENOENT, os.stat, "x", dir_fd=d)
assert os.listdir(d) == []
assert os.fstat(d).st_nlink == 0
os.fchmod(d, 0o700)
os.fsync(d)
os.mkdir("d")
assert os.fstat(d).st_ino != os.stat("d").st_ino
fails(errno.ENOENT, os.mkdir, "x", dir_fd=d)
os.close(d)
r = os.open("other", os.O_RDONLY | os.O_DIRECTORY)
os.rename("d", "other")
assert os.fstat(r).st_nlink == 0
fails(errno.ENOENT, os.mkdir, "x", dir_fd=r)
os.close(r)
`,
    { needs: ['removed-directory'] },
  ),
  pythonCase(
    'chdir and getcwd follow renames; in a removed directory getcwd is ENOENT',
    `
top = os.getcwd()
os.makedirs("a/b/c")
os.chdir("a/b/c")
os.rename(top + "/a", top + "/z")
assert os.getcwd() == top + "/z/b/c", os.getcwd()
write_file("here", b"x")
assert os.listdir(top + "/z/b/c") == ["here"]
os.unlink("here")
os.rmdir(top + "/z/b/c")
fails(errno.ENOENT, os.getcwd)
fails(errno.ENOENT, os.mkdir, "x")
assert os.listdir(".") == []
os.chdir(top)
fails(errno.ENOTDIR, os.chdir, write_file("f", b"") or "f")
fails(errno.ENOENT, os.chdir, "missing")
d = os.open("z/b", os.O_RDONLY)
os.fchdir(d)
assert os.getcwd() == top + "/z/b"
os.close(d)
`,
    { needs: ['removed-directory'] },
  ),
  pythonCase(
    'execve of a binary, by path and by descriptor; ETXTBSY both ways; not without x',
    `
import shutil
shutil.copy(shutil.which("true"), "prog")
os.chmod("prog", 0o755)
assert subprocess.run(["./prog"]).returncode == 0
fd = os.open("prog", os.O_RDONLY | os.O_CLOEXEC)
pid = os.fork()
if pid == 0:
    os.execve(fd, ["prog"], {})
assert os.waitpid(pid, 0)[1] == 0
os.close(fd)
w = os.open("prog", os.O_WRONLY)
fails(errno.ETXTBSY, subprocess.run, ["./prog"])
os.close(w)
assert subprocess.run(["./prog"]).returncode == 0
os.chmod("prog", 0o644)
fails(errno.EACCES, subprocess.run, ["./prog"])
shutil.copy(shutil.which("sleep"), "sleeper")
child = subprocess.Popen(["./sleeper", "1000"])
try:
    fails(errno.ETXTBSY, os.open, "sleeper", os.O_WRONLY)
    fails(errno.ETXTBSY, os.truncate, "sleeper", 0)
    os.unlink("sleeper")
finally:
    child.kill()
    child.wait()
`,
  ),
  pythonCase(
    'inotify tells what processes of this mount do',
    `
import struct
fd = libc.inotify_init()
libc.inotify_add_watch(fd, b".", 0x100 | 0x2 | 0x200 | 0x40 | 0x80 | 0x8)
write_file("a", b"x")
os.rename("a", "b")
os.unlink("b")
events, data, at = [], b"", 0
while len(events) == 0 or events[-1] != (0x200, b"b"):
    data = os.read(fd, 4096)
    at = 0
    while at < len(data):
        _, mask, _, length = struct.unpack_from("iIII", data, at)
        events.append((mask, data[at + 16:at + 16 + length].rstrip(b"\\0")))
        at += 16 + length
assert events == [(0x100, b"a"), (0x2, b"a"), (0x8, b"a"), (0x40, b"a"), (0x80, b"b"), (0x200, b"b")], events
`,
  ),
];
