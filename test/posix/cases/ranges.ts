import { type PosixCase, python } from '../posix-case.ts';

/** fallocate(2), lseek(2) over holes, copy_file_range(2), O_TMPFILE, and very large files. */

const PRELUDE = `
import ctypes, errno, mmap, os, stat, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
KEEP, PUNCH, ZERO = 1, 2, 16
KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40

def fallocate(fd, mode, offset, length):
    if libc.fallocate(fd, mode, offset, length) != 0:
        raise OSError(ctypes.get_errno(), "fallocate")

def link_fd(fd, name):
    follow = 0x400
    if libc.linkat(-100, f"/proc/self/fd/{fd}".encode(), -100, name.encode(), follow) != 0:
        raise OSError(ctypes.get_errno(), "linkat")

def fails(number, call, *args):
    try:
        call(*args)
    except OSError as e:
        assert e.errno == number, f"{errno.errorcode[e.errno]}, not {errno.errorcode[number]}"
        return
    raise AssertionError(f"no {errno.errorcode[number]}")

def data_ranges(fd):
    out, at = [], 0
    while True:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as e:
            assert e.errno == errno.ENXIO
            return out
        at = os.lseek(fd, start, os.SEEK_HOLE)
        assert at > start
        out.append((start, at))

def fill(length, seed):
    return bytes((seed * 31 + i * 7 + (i >> 8)) & 0xff or 1 for i in range(length))
`;

/** Runs as an ordinary user what is done with a descriptor that root opened. */
const UNPRIVILEGED = `
def as_nobody(call, *args):
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([]); os.setgid(65534); os.setuid(65534)
            call(*args)
            os._exit(0)
        except BaseException as e:
            print(e, file=sys.stderr)
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
`;

const run =
  (program: string) =>
  async (dir: string): Promise<void> => {
    await python(PRELUDE + program, dir);
  };

const seekCases: readonly PosixCase[] = [
  {
    name: 'SEEK_DATA and SEEK_HOLE find written ranges, flushed and not',
    needs: ['holes'],
    commands: ['python3'],
    run: run(`
fd = os.open("f", os.O_RDWR | os.O_CREAT)
os.pwrite(fd, fill(64 * KIB, 1), 0)
os.pwrite(fd, fill(128 * KIB, 2), MIB)
os.fsync(fd)
os.pwrite(fd, fill(64 * KIB, 3), 8 * MIB)
os.ftruncate(fd, 16 * MIB)
expected = [(0, 64 * KIB), (MIB, MIB + 128 * KIB), (8 * MIB, 8 * MIB + 64 * KIB)]
assert data_ranges(fd) == expected, data_ranges(fd)
os.fsync(fd)
assert data_ranges(fd) == expected
seek = lambda at, whence: os.lseek(fd, at, whence)
assert seek(10, os.SEEK_DATA) == 10 and seek(10, os.SEEK_HOLE) == 64 * KIB
assert seek(100 * KIB, os.SEEK_HOLE) == 100 * KIB and seek(100 * KIB, os.SEEK_DATA) == MIB
assert seek(0, os.SEEK_CUR) == MIB, "the position is moved"
assert seek(8 * MIB + 64 * KIB, os.SEEK_HOLE) == 8 * MIB + 64 * KIB
fails(errno.ENXIO, seek, 8 * MIB + 64 * KIB, os.SEEK_DATA)
os.pwrite(fd, fill(64 * KIB, 4), 64 * KIB)
assert data_ranges(fd)[0] == (0, 128 * KIB), "what joins two ranges"
`),
  },
  {
    name: 'the end of the file is a hole, and nothing is found behind it',
    needs: ['holes'],
    commands: ['python3'],
    run: run(`
fd = os.open("f", os.O_RDWR | os.O_CREAT)
seek = lambda at, whence: os.lseek(fd, at, whence)
for whence in (os.SEEK_DATA, os.SEEK_HOLE):
    fails(errno.ENXIO, seek, 0, whence)
os.write(fd, b"x" * 5000)
assert seek(0, os.SEEK_HOLE) == 5000 and seek(4999, os.SEEK_HOLE) == 5000 and seek(4999, os.SEEK_DATA) == 4999
for at in (5000, 5001, TIB):
    for whence in (os.SEEK_DATA, os.SEEK_HOLE):
        fails(errno.ENXIO, seek, at, whence)
fails(errno.ENXIO, seek, -1, os.SEEK_DATA)
os.ftruncate(fd, 0)
os.ftruncate(fd, MIB)
assert seek(0, os.SEEK_HOLE) == 0 and seek(MIB - 1, os.SEEK_HOLE) == MIB - 1
fails(errno.ENXIO, seek, 0, os.SEEK_DATA)
`),
  },
  {
    name: 'cp keeps the holes of a sparse file',
    needs: ['holes'],
    commands: ['python3', 'cp'],
    run: run(`
import subprocess
fd = os.open("f", os.O_RDWR | os.O_CREAT)
for i in (0, 3, 200):
    os.pwrite(fd, fill(MIB, i), i * MIB)
os.ftruncate(fd, 300 * MIB)
os.close(fd)
subprocess.run(["cp", "f", "g"], check=True)
subprocess.run(["cmp", "f", "g"], check=True)
st = os.stat("g")
assert st.st_size == 300 * MIB and st.st_blocks * 512 < 8 * MIB, st.st_blocks
fd = os.open("g", os.O_RDONLY)
assert [start // MIB for start, end in data_ranges(fd)] == [0, 3, 200]
`),
  },
];

const fallocateCases: readonly PosixCase[] = [
  {
    name: 'fallocate grows a file with zeros, and with KEEP_SIZE leaves its size',
    needs: ['fallocate'],
    commands: ['python3'],
    run: run(`
fd = os.open("f", os.O_RDWR | os.O_CREAT)
os.write(fd, b"hello")
fallocate(fd, KEEP, 0, MIB)
assert os.fstat(fd).st_size == 5 and os.pread(fd, 100, 0) == b"hello"
fallocate(fd, 0, 0, 3)
assert os.fstat(fd).st_size == 5, "never shrinks"
fallocate(fd, 0, 2, 10000)
assert os.fstat(fd).st_size == 10002 and os.pread(fd, 20000, 0) == b"hello" + bytes(9997)
os.posix_fallocate(fd, 20000, 10000)
assert os.fstat(fd).st_size == 30000 and os.stat("f").st_size == 30000
os.pwrite(fd, b"end", 29997)
os.close(fd)
assert open("f", "rb").read() == b"hello" + bytes(29992) + b"end"
`),
  },
  {
    name: 'a punched hole reads as zeros, frees its space and keeps the size',
    needs: ['fallocate', 'holes'],
    commands: ['python3'],
    run: run(`
fd = os.open("f", os.O_RDWR | os.O_CREAT)
content = bytearray(fill(8 * MIB, 5))
os.pwrite(fd, content, 0)
os.fsync(fd)
full = os.fstat(fd).st_blocks
for offset, length in ((MIB, 2 * MIB), (5 * MIB, 64 * KIB), (7 * MIB, 4 * MIB)):
    fallocate(fd, PUNCH | KEEP, offset, length)
    end = min(offset + length, len(content))
    content[offset:end] = bytes(end - offset)
assert os.fstat(fd).st_size == 8 * MIB
assert os.pread(fd, 9 * MIB, 0) == content
os.fsync(fd)
freed = full - os.fstat(fd).st_blocks
assert abs(freed * 512 - (3 * MIB + 64 * KIB)) <= 16 * KIB, freed
assert data_ranges(fd) == [(0, MIB), (3 * MIB, 5 * MIB), (5 * MIB + 64 * KIB, 7 * MIB)], data_ranges(fd)
os.close(fd)
assert open("f", "rb").read() == content
`),
  },
  {
    name: 'unflushed bytes are punched and zeroed, to the byte, and written over again',
    needs: ['fallocate'],
    commands: ['python3'],
    run: run(`
fd = os.open("f", os.O_RDWR | os.O_CREAT)
content = bytearray()
def check(what):
    assert os.pread(fd, 2 * MIB, 0) == content, what
    assert os.fstat(fd).st_size == len(content), what
for turn, (mode, at, length) in enumerate([
    (PUNCH | KEEP, 100, 3), (PUNCH | KEEP, 4095, 2), (ZERO, 1, 70000), (ZERO | KEEP, 299000, 5000),
    (ZERO, 299990, 1000), (PUNCH | KEEP, 0, 12345), (ZERO | KEEP, 500, 1), (0, 310000, 7), (KEEP, 0, 500000)]):
    data = fill(300000, turn)
    os.pwrite(fd, data, 0)
    content[0:300000] = data
    fallocate(fd, mode, at, length)
    end = at + length
    if not mode & KEEP and end > len(content):
        content += bytes(end - len(content))
    if mode & (PUNCH | ZERO):
        end = min(end, len(content))
        content[at:end] = bytes(end - at)
    check(turn)
    os.pwrite(fd, b"again", at)
    content[at:at + 5] = b"again"
    check(turn)
os.close(fd)
assert open("f", "rb").read() == content
`),
  },
  {
    name: 'ZERO_RANGE behind the end grows the file unless it is to keep its size',
    needs: ['fallocate'],
    commands: ['python3'],
    run: run(`
fd = os.open("f", os.O_RDWR | os.O_CREAT)
os.write(fd, b"0123456789")
fallocate(fd, ZERO | KEEP, 8, 100)
assert os.pread(fd, 1000, 0) == b"01234567\\0\\0"
fallocate(fd, ZERO, 5, 100)
assert os.pread(fd, 1000, 0) == b"01234" + bytes(100)
fallocate(fd, ZERO, 8000, 1000)
assert os.fstat(fd).st_size == 9000
fallocate(fd, PUNCH | KEEP, 20000, 1000)
assert os.fstat(fd).st_size == 9000
`),
  },
  {
    name: 'a mapping sees a punched hole, and what was stored through it before is gone',
    needs: ['fallocate'],
    commands: ['python3'],
    run: run(`
fd = os.open("f", os.O_RDWR | os.O_CREAT)
os.write(fd, fill(64 * KIB, 1))
m = mmap.mmap(fd, 64 * KIB)
m[8000:8010] = b"0123456789"
fallocate(fd, PUNCH | KEEP, 8 * KIB, 8 * KIB)
assert m[8 * KIB:16 * KIB] == bytes(8 * KIB)
assert m[8000:8010] == b"0123456789"
m[9000:9005] = b"hello"
m.flush()
assert os.pread(fd, 5, 9000) == b"hello"
m.close()
os.close(fd)
data = open("f", "rb").read()
assert data[8192:9000] == bytes(808) and data[9000:9005] == b"hello" and data[9005:16384] == bytes(7379)
assert data[16384:] == fill(64 * KIB, 1)[16384:]
`),
  },
  {
    name: 'fallocate changes mtime and ctime',
    needs: ['fallocate'],
    commands: ['python3'],
    run: run(`
fd = os.open("f", os.O_RDWR | os.O_CREAT)
os.write(fd, fill(10000, 1))
for mode in (KEEP, PUNCH | KEEP, ZERO, 0):
    os.utime("f", ns=(10**18, 10**18))
    before = os.stat("f")
    fallocate(fd, mode, 4096, 20000)
    after = os.stat("f")
    assert after.st_mtime_ns > before.st_mtime_ns and after.st_ctime_ns >= before.st_ctime_ns, mode
    assert after.st_atime_ns == 10**18, mode
`),
  },
  {
    name: 'errors of fallocate',
    needs: ['fallocate'],
    commands: ['python3'],
    run: run(`
fd = os.open("f", os.O_RDWR | os.O_CREAT)
os.write(fd, b"content")
fails(errno.EINVAL, fallocate, fd, 0, 0, 0)
fails(errno.EINVAL, fallocate, fd, 0, -1, 10)
fails(errno.EINVAL, fallocate, fd, 0, 0, -1)
fails(errno.EOPNOTSUPP, fallocate, fd, PUNCH, 0, 10)
fails(errno.EOPNOTSUPP, fallocate, fd, PUNCH | ZERO | KEEP, 0, 10)
fails(errno.EFBIG, fallocate, fd, 0, 2**62, 2**62)
assert open("f", "rb").read() == b"content"
read_only = os.open("f", os.O_RDONLY)
fails(errno.EBADF, fallocate, read_only, 0, 0, 10)
append = os.open("f", os.O_WRONLY | os.O_APPEND)
fallocate(append, 0, 0, 20)
assert os.fstat(fd).st_size == 20, "appending descriptors may"
os.mkfifo("p")
fifo = os.open("p", os.O_RDWR)
fails(errno.ESPIPE, fallocate, fifo, 0, 0, 10)
`),
  },
  {
    name: 'fallocate by an ordinary user takes setuid and setgid away',
    needs: ['fallocate'],
    commands: ['python3'],
    root: true,
    run: run(`${UNPRIVILEGED}
for i, mode in enumerate((0, KEEP, PUNCH | KEEP, ZERO)):
    name = f"f{i}"
    fd = os.open(name, os.O_RDWR | os.O_CREAT)
    os.write(fd, fill(10000, 1))
    os.chmod(name, 0o6777)
    fallocate(fd, mode, 0, 4096)
    assert os.stat(name).st_mode & 0o7777 == 0o6777, "root may"
    as_nobody(fallocate, fd, mode, 0, 8192)
    assert os.stat(name).st_mode & 0o7777 == 0o777, (mode, oct(os.stat(name).st_mode))
`),
  },
];

const copyCases: readonly PosixCase[] = [
  {
    name: 'copy_file_range copies between files, at any offsets, flushed or not',
    commands: ['python3'],
    run: run(`
a = os.open("a", os.O_RDWR | os.O_CREAT)
b = os.open("b", os.O_RDWR | os.O_CREAT)
source = fill(5 * MIB + 123, 9)
os.pwrite(a, source, 0)
model = bytearray(fill(2 * MIB, 4))
os.pwrite(b, model, 0)
def copy(length, at, to):
    done = 0
    while done < length:
        n = os.copy_file_range(a, b, length - done, at + done, to + done)
        if n == 0:
            break
        done += n
    model[len(model):] = bytes(max(0, to + done - len(model)))
    model[to:to + done] = source[at:at + done]
    return done
assert copy(100, 0, 0) == 100
assert copy(MIB, 333, 777) == MIB
assert copy(3 * MIB, MIB - 1, 4 * MIB + 1) == 3 * MIB
assert os.pread(b, 20 * MIB, 0) == model
os.fsync(a); os.fsync(b)
assert copy(4 * MIB, 5 * MIB, 10) == 123, "as much as there is"
assert copy(100, 5 * MIB + 123, 0) == 0 and copy(100, 20 * MIB, 0) == 0
assert os.pread(b, 20 * MIB, 0) == model and os.fstat(b).st_size == len(model)
os.lseek(a, 50, os.SEEK_SET); os.lseek(b, 60, os.SEEK_SET)
assert os.copy_file_range(a, b, 40) == 40
assert os.lseek(a, 0, os.SEEK_CUR) == 90 and os.lseek(b, 0, os.SEEK_CUR) == 100
model[60:100] = source[50:90]
os.close(a); os.close(b)
assert open("b", "rb").read() == model and open("a", "rb").read() == source
`),
  },
  {
    name: 'copy_file_range within one file, but not onto itself',
    commands: ['python3'],
    run: run(`
fd = os.open("f", os.O_RDWR | os.O_CREAT)
data = fill(256 * KIB, 2)
os.write(fd, data)
assert os.copy_file_range(fd, fd, 128 * KIB, 0, 128 * KIB) == 128 * KIB
assert os.copy_file_range(fd, fd, 100, 5, 256 * KIB) == 100
fails(errno.EINVAL, os.copy_file_range, fd, fd, 101, 0, 100)
fails(errno.EINVAL, os.copy_file_range, fd, fd, 101, 100, 0)
assert open("f", "rb").read() == data[:128 * KIB] * 2 + data[5:105]
`),
  },
  {
    name: 'copy_file_range over cached pages, a mapping included',
    commands: ['python3'],
    run: run(`
a = os.open("a", os.O_RDWR | os.O_CREAT)
b = os.open("b", os.O_RDWR | os.O_CREAT)
os.write(a, fill(64 * KIB, 1))
os.write(b, fill(64 * KIB, 2))
os.fsync(a); os.fsync(b)
to, of = mmap.mmap(b, 64 * KIB), mmap.mmap(a, 64 * KIB)
assert to[:] == fill(64 * KIB, 2)
of[10:15] = b"hello"
of.flush()
assert os.copy_file_range(a, b, 32 * KIB, 0, 16 * KIB) == 32 * KIB
expected = bytearray(fill(64 * KIB, 2))
expected[16 * KIB:48 * KIB] = fill(64 * KIB, 1)[:32 * KIB]
expected[16 * KIB + 10:16 * KIB + 15] = b"hello"
assert to[:] == expected
assert os.pread(b, 64 * KIB, 0) == expected
`),
  },
  {
    name: 'copies do not share what is written afterwards',
    commands: ['python3'],
    run: run(`
a = os.open("a", os.O_RDWR | os.O_CREAT)
b = os.open("b", os.O_RDWR | os.O_CREAT)
data = fill(MIB, 3)
os.write(a, data)
os.copy_file_range(a, b, MIB, 0, 0)
os.pwrite(a, b"source", 1000)
os.pwrite(b, b"target", 2000)
os.fsync(a); os.fsync(b)
x, y = bytearray(data), bytearray(data)
x[1000:1006], y[2000:2006] = b"source", b"target"
os.unlink("a")
os.close(a)
assert open("b", "rb").read() == y
`),
  },
  {
    name: 'copy_file_range changes the times of the destination only',
    commands: ['python3'],
    run: run(`
a = os.open("a", os.O_RDWR | os.O_CREAT)
b = os.open("b", os.O_RDWR | os.O_CREAT)
os.write(a, fill(10000, 1))
os.utime("a", (10**9, 10**9)); os.utime("b", (10**9, 10**9))
x, y = os.stat("a"), os.stat("b")
assert os.copy_file_range(a, b, 5000, 0, 0) == 5000
x2, y2 = os.stat("a"), os.stat("b")
assert (x2.st_mtime_ns, x2.st_ctime_ns) == (x.st_mtime_ns, x.st_ctime_ns)
assert y2.st_mtime_ns > y.st_mtime_ns and y2.st_ctime_ns >= y.st_ctime_ns
`),
  },
  {
    name: 'errors of copy_file_range',
    commands: ['python3'],
    run: run(`
a = os.open("a", os.O_RDWR | os.O_CREAT)
os.write(a, b"content")
w = os.open("b", os.O_WRONLY | os.O_CREAT)
r = os.open("b", os.O_RDONLY)
append = os.open("b", os.O_WRONLY | os.O_APPEND)
fails(errno.EBADF, os.copy_file_range, a, r, 5, 0, 0)
fails(errno.EBADF, os.copy_file_range, w, a, 5, 0, 0)
fails(errno.EBADF, os.copy_file_range, a, append, 5, 0, 0)
os.mkdir("d"); os.mkfifo("p")
d, p = os.open("d", os.O_RDONLY), os.open("p", os.O_RDWR)
fails(errno.EISDIR, os.copy_file_range, d, w, 5, 0, 0)
fails(errno.EINVAL, os.copy_file_range, p, w, 5)
assert os.stat("b").st_size == 0
`),
  },
  {
    name: 'copy_file_range by an ordinary user takes setuid and setgid away',
    needs: ['caller-ids'],
    commands: ['python3'],
    root: true,
    run: run(`${UNPRIVILEGED}
a = os.open("a", os.O_RDWR | os.O_CREAT)
b = os.open("b", os.O_RDWR | os.O_CREAT)
os.write(a, fill(10000, 1))
os.chmod("b", 0o6777)
os.copy_file_range(a, b, 5000, 0, 0)
assert os.stat("b").st_mode & 0o7777 == 0o6777
as_nobody(os.copy_file_range, a, b, 5000, 0, 0)
assert os.stat("b").st_mode & 0o7777 == 0o777
`),
  },
];

const tmpfileCases: readonly PosixCase[] = [
  {
    name: 'O_TMPFILE makes a file without a name, which works like any other until it is closed',
    needs: ['tmpfile'],
    commands: ['python3'],
    run: run(`
fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o640)
st = os.fstat(fd)
assert st.st_nlink == 0 and stat.S_ISREG(st.st_mode) and st.st_mode & 0o777 == 0o640
assert os.listdir(".") == []
data = fill(3 * MIB, 1)
os.write(fd, data)
assert os.fstat(fd).st_size == 3 * MIB and os.pread(fd, 4 * MIB, 0) == data
os.fsync(fd)
os.ftruncate(fd, 5)
assert os.pread(fd, 10, 0) == data[:5]
again = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
os.close(fd)
assert os.pread(again, 10, 0) == data[:5], "open once more"
os.close(again)
assert os.listdir(".") == []
fails(errno.EINVAL, os.open, ".", os.O_TMPFILE | os.O_RDONLY)
open("f", "w").close()
fails(errno.ENOTDIR, os.open, "f", os.O_TMPFILE | os.O_RDWR)
fails(errno.ENOENT, os.open, "missing", os.O_TMPFILE | os.O_RDWR)
`),
  },
  {
    name: 'a file made with O_TMPFILE gets a name by linking its descriptor',
    needs: ['tmpfile'],
    commands: ['python3'],
    run: run(`
fd = os.open(".", os.O_TMPFILE | os.O_WRONLY, 0o600)
os.write(fd, b"unflushed")
os.mkdir("d")
link_fd(fd, "d/name")
assert os.fstat(fd).st_nlink == 1 and os.listdir("d") == ["name"]
assert open("d/name").read() == "unflushed" and os.stat("d/name").st_ino == os.fstat(fd).st_ino
os.write(fd, b", more")
os.link("d/name", "other")
os.close(fd)
assert open("other").read() == "unflushed, more" and os.stat("other").st_nlink == 2
os.unlink("d/name"); os.unlink("other")
fd = os.open(".", os.O_TMPFILE | os.O_WRONLY)
open("taken", "w").close()
fails(errno.EEXIST, link_fd, fd, "taken")
link_fd(fd, "once")
os.unlink("once")
fails(errno.ENOENT, link_fd, fd, "twice")
`),
  },
  {
    name: 'O_EXCL with O_TMPFILE forbids a name',
    needs: ['tmpfile'],
    commands: ['python3'],
    run: run(`
fd = os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_EXCL)
os.write(fd, b"x")
fails(errno.ENOENT, link_fd, fd, "name")
assert os.listdir(".") == [] and os.pread(fd, 5, 0) == b"x"
`),
  },
  {
    name: 'O_TMPFILE in a set-group-ID directory takes its group, and needs no change of it',
    needs: ['tmpfile', 'caller-ids'],
    commands: ['python3'],
    root: true,
    run: run(`
os.mkdir("d")
os.chown("d", 0, 1234)
os.chmod("d", 0o2755)
before = os.stat("d")
fd = os.open("d", os.O_TMPFILE | os.O_RDWR)
assert os.fstat(fd).st_gid == 1234
after = os.stat("d")
assert (after.st_mtime_ns, after.st_nlink) == (before.st_mtime_ns, before.st_nlink)
os.rmdir("d")
os.write(fd, b"still here")
assert os.pread(fd, 100, 0) == b"still here"
`),
  },
];

const largeCases: readonly PosixCase[] = [
  {
    name: 'reads and writes across 4 GiB',
    commands: ['python3'],
    run: run(`
fd = os.open("f", os.O_RDWR | os.O_CREAT)
data = fill(3 * MIB, 6)
for base in (2 * GIB, 4 * GIB, 6 * GIB):
    at = base - MIB - 17
    assert os.pwrite(fd, data, at) == len(data)
    assert os.pread(fd, len(data), at) == data
os.fsync(fd)
for base in (2 * GIB, 4 * GIB, 6 * GIB):
    at = base - MIB - 17
    assert os.pread(fd, len(data), at) == data
    assert os.pread(fd, 10, at - 10) == bytes(10)
os.lseek(fd, 4 * GIB - 17, os.SEEK_SET)
assert os.read(fd, 34) == data[MIB:MIB + 34]
os.ftruncate(fd, 4 * GIB + 5)
assert os.fstat(fd).st_size == 4 * GIB + 5
assert os.pread(fd, 100, 4 * GIB) == data[MIB + 17:MIB + 22]
os.ftruncate(fd, 8 * GIB)
assert os.pread(fd, 100, 4 * GIB + 5) == bytes(100)
os.close(fd)
os.unlink("f")
`),
  },
  {
    name: 'a sparse file of terabytes costs what it holds',
    commands: ['python3'],
    run: run(`
fd = os.open("f", os.O_RDWR | os.O_CREAT)
places = [0, 3 * GIB + 5, TIB - 1, 4 * TIB, 8 * TIB + 12345]
for i, at in enumerate(places):
    os.pwrite(fd, fill(10000, i), at)
os.fsync(fd)
assert os.fstat(fd).st_size == places[-1] + 10000 and os.fstat(fd).st_blocks * 512 < MIB
for i, at in enumerate(places):
    assert os.pread(fd, 10000, at) == fill(10000, i)
os.ftruncate(fd, 15 * TIB)
assert os.pread(fd, 100, 15 * TIB - 50) == bytes(50)
os.ftruncate(fd, 2 * TIB)
assert os.pread(fd, 10000, TIB - 1) == fill(10000, 2)
os.ftruncate(fd, 0)
os.ftruncate(fd, 8 * TIB)
assert os.pread(fd, 100, TIB - 1) == bytes(100) and os.fstat(fd).st_blocks == 0
`),
  },
  {
    name: 'holes of terabytes are passed over, and punched, at once',
    needs: ['holes', 'fallocate'],
    commands: ['python3'],
    run: run(`
fd = os.open("f", os.O_RDWR | os.O_CREAT)
places = [64 * KIB, 3 * GIB, TIB, 4 * TIB, 8 * TIB]
for i, at in enumerate(places):
    os.pwrite(fd, fill(64 * KIB, i), at)
os.fsync(fd)
os.ftruncate(fd, 15 * TIB)
assert data_ranges(fd) == [(at, at + 64 * KIB) for at in places], data_ranges(fd)
fallocate(fd, PUNCH | KEEP, 2 * GIB, 5 * TIB)
assert data_ranges(fd) == [(64 * KIB, 128 * KIB), (8 * TIB, 8 * TIB + 64 * KIB)]
fallocate(fd, PUNCH | KEEP, 0, 15 * TIB)
assert data_ranges(fd) == [] and os.fstat(fd).st_blocks == 0 and os.fstat(fd).st_size == 15 * TIB
`),
  },
];

export const rangeCases: readonly PosixCase[] = [
  ...seekCases,
  ...fallocateCases,
  ...copyCases,
  ...tmpfileCases,
  ...largeCases,
];
