import type { PosixCase } from '../posix-case.ts';
import { pythonCase } from '../python-case.ts';

/** `changes(work, path="mc", other="")`: exactly these of mtime and ctime move, and of every other watched path none. */
const WATCH = `
watched = {}
def watch(*paths):
    for p in paths: watched[p] = 1
def tick():
    # Clocks of file systems are coarse: goes on when what is changed now is later than everything before.
    newest = max([os.lstat(p).st_ctime_ns for p in watched if os.path.lexists(p)] or [0])
    while True:
        with open("../" + probe, "wb"): pass
        os.utime("../" + probe)
        if os.stat("../" + probe).st_ctime_ns > newest: return
probe = os.path.basename(os.getcwd()) + "-probe"
import atexit
atexit.register(lambda: os.path.exists("../" + probe) and os.unlink("../" + probe))
def changes(work, **expected):
    tick()
    before = {p: os.lstat(p) for p in watched if os.path.lexists(p)}
    result = work()
    for p, old in before.items():
        if not os.path.lexists(p): continue
        new = os.lstat(p)
        if new.st_ino != old.st_ino: continue
        moved = ("m" if new.st_mtime_ns != old.st_mtime_ns else "") + ("c" if new.st_ctime_ns != old.st_ctime_ns else "")
        assert new.st_mtime_ns >= old.st_mtime_ns and new.st_ctime_ns >= old.st_ctime_ns, p + " went back"
        assert moved == expected.get(p, ""), "%s: %r moved, not %r" % (p, moved, expected.get(p, ""))
    return result
`;

export const timeCases: readonly PosixCase[] = [
  pythonCase(
    'times: what each change of content moves',
    `${WATCH}
os.mkdir("d")
write_file("d/f", b"0123456789")
os.symlink("d/f", "f")
os.unlink("f")
os.chdir("d")
probe = "probe"
watch("f", ".")
fd = os.open("f", os.O_RDWR)
changes(lambda: os.close(os.open("f", os.O_RDONLY)))
changes(lambda: os.pread(fd, 5, 0))
changes(lambda: (os.pwrite(fd, b"x", 0), os.fsync(fd)), f="mc")
changes(lambda: (os.pwrite(fd, b"", 0), os.fsync(fd)))
changes(lambda: os.truncate("f", 5), f="mc")
changes(lambda: os.truncate("f", 50), f="mc")
changes(lambda: os.truncate("f", 50), f="mc")
changes(lambda: os.ftruncate(fd, 50), f="mc")
changes(lambda: os.close(os.open("f", os.O_WRONLY | os.O_TRUNC)), f="mc")
changes(lambda: os.close(os.open("f", os.O_WRONLY | os.O_TRUNC)), f="mc")
os.ftruncate(fd, 8192)
os.fsync(fd)
def store():
    m = mmap.mmap(fd, 8192)
    m[0:1] = b"m"
    m.flush()
    m.close()
changes(store, f="mc")
os.close(fd)
changes(lambda: os.close(os.open("f", os.O_RDWR | os.O_CREAT)))
changes(lambda: fails(errno.EEXIST, os.open, "f", os.O_RDWR | os.O_CREAT | os.O_EXCL))
`,
    { needs: ['nanoseconds'] },
  ),
  pythonCase(
    'times: what each change of attributes moves',
    `${WATCH}
write_file("f", b"0123456789")
os.mkdir("sub")
os.chdir("sub")
os.rename("../f", "f")
os.mkdir("e")
watch("f", ".", "e")
changes(lambda: os.chmod("f", 0o600), f="c")
changes(lambda: os.chmod("f", 0o600), f="c")
changes(lambda: os.chmod("e", 0o700), e="c")
changes(lambda: os.chown("f", os.getuid(), os.getgid()), f="c")
changes(lambda: os.setxattr("f", "user.a", b"1"), f="c")
changes(lambda: os.setxattr("f", "user.a", b"2"), f="c")
changes(lambda: os.getxattr("f", "user.a"))
changes(lambda: os.removexattr("f", "user.a"), f="c")
changes(lambda: fails(errno.ENODATA, os.removexattr, "f", "user.a"))
before = os.stat("f")
changes(lambda: os.utime("f", ns=(before.st_atime_ns, before.st_mtime_ns)), f="c")
changes(lambda: os.utime("f"), f="mc")
omit = (ctypes.c_long * 4)(0, (1 << 30) - 2, 0, (1 << 30) - 2)
changes(lambda: libc.utimensat(-100, b"f", omit, 0))
`,
    { needs: ['nanoseconds'] },
  ),
  pythonCase(
    'times: what each change of names moves',
    `${WATCH}
os.mkdir("w")
os.chdir("w")
for name in ("a", "b", "a/inner"): os.mkdir(name)
write_file("f", b"x")
watch("f", "g", "h", "a", "b", "a/inner", "b/inner", ".")
both = {".": "mc"}
changes(lambda: os.link("f", "g"), f="c", g="c", **both)
changes(lambda: fails(errno.EEXIST, os.link, "f", "g"))
changes(lambda: os.rename("f", "g"))
changes(lambda: os.unlink("g"), f="c", **both)
changes(lambda: os.rename("f", "h"), **both)
watch("a/h")
tick()
before = os.stat("h")
changes(lambda: os.rename("h", "a/h"), a="mc", **both)
after = os.stat("a/h")
assert after.st_mtime_ns == before.st_mtime_ns and after.st_ctime_ns > before.st_ctime_ns
before = os.stat("a/inner")
changes(lambda: os.rename("a/inner", "b/inner"), a="mc", b="mc")
after = os.stat("b/inner")
assert after.st_mtime_ns == before.st_mtime_ns and after.st_ctime_ns > before.st_ctime_ns
changes(lambda: os.mkdir("a/new"), a="mc")
changes(lambda: os.rmdir("a/new"), a="mc")
changes(lambda: os.symlink("x", "a/new"), a="mc")
changes(lambda: os.readlink("a/new"))
changes(lambda: os.unlink("a/new"), a="mc")
changes(lambda: os.mkfifo("a/new"), a="mc")
changes(lambda: write_file("a/file", b""), a="mc")
changes(lambda: os.replace("a/h", "a/file"), a="mc")
changes(lambda: os.listdir("a"))
changes(lambda: fails(errno.ENOENT, os.unlink, "a/missing"))
changes(lambda: fails(errno.ENOTEMPTY, os.rmdir, "a"))
changes(lambda: fails(errno.EEXIST, os.mkdir, "a/new"))
fd = os.open("a/file", os.O_RDONLY)
kept = os.fstat(fd)
tick()
write_file("a/other", b"")
os.replace("a/other", "a/file")
gone = os.fstat(fd)
assert gone.st_nlink == 0 and gone.st_mtime_ns == kept.st_mtime_ns and gone.st_ctime_ns > kept.st_ctime_ns
os.close(fd)
`,
    { needs: ['nanoseconds', 'unlinked-open'] },
  ),
  pythonCase(
    'times: a new inode has one time, its directory none before it',
    `
def made(path):
    s, parent = os.lstat(path), os.lstat(".")
    assert s.st_atime_ns == s.st_mtime_ns == s.st_ctime_ns, (path, s)
    assert parent.st_mtime_ns == parent.st_ctime_ns >= s.st_mtime_ns, (path, s, parent)
os.close(os.open("f", os.O_CREAT | os.O_WRONLY))
made("f")
os.mkdir("d")
made("d")
os.symlink("f", "s")
made("s")
os.mkfifo("p")
made("p")
`,
    { needs: ['nanoseconds'] },
  ),
  pythonCase(
    'times: fstat after write(2) and stat after close say the same mtime',
    `
for size in (10, 100_000, 5_000_000):
    fd = os.open("f%d" % size, os.O_CREAT | os.O_WRONLY)
    os.write(fd, b"x" * size)
    written = os.fstat(fd)
    os.fsync(fd)
    synced = os.fstat(fd)
    os.close(fd)
    closed = os.stat("f%d" % size)
    assert written.st_mtime_ns == synced.st_mtime_ns == closed.st_mtime_ns, (written, synced, closed)
    assert closed.st_size == size
`,
    { needs: ['nanoseconds'] },
  ),
  pythonCase(
    'times: reading never moves mtime or ctime, and a write leaves atime alone',
    `
write_file("f", b"x" * 100)
os.utime("f", ns=(5_000_000_000, 6_000_000_000))
before = os.stat("f")
with open("f", "ab") as f: f.write(b"y")
after = os.stat("f")
assert after.st_atime_ns == before.st_atime_ns == 5_000_000_000
read_file("f")
again = os.stat("f")
assert (again.st_mtime_ns, again.st_ctime_ns) == (after.st_mtime_ns, after.st_ctime_ns)
os.utime("f", ns=(7_000_000_001, 8_000_000_002))
with open("f", "r+b") as f:
    f.write(b"z")
    os.utime("f", ns=(9_000_000_001, 10_000_000_002))
    f.flush()
    os.utime("f", ns=(9_000_000_001, 10_000_000_002))
last = os.stat("f")
assert (last.st_atime_ns, last.st_mtime_ns) == (9_000_000_001, 10_000_000_002), last
`,
    { needs: ['nanoseconds'] },
  ),
];
