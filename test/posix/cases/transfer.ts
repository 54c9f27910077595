import type { PosixCase } from '../posix-case.ts';
import { pythonCase } from '../python-case.ts';

/** Ways of reading and writing. */
export const transferCases: readonly PosixCase[] = [
  pythonCase(
    'O_DIRECT: aligned reads and writes agree with buffered ones',
    `
def aligned(data):
    m = mmap.mmap(-1, (len(data) + 4095) // 4096 * 4096 or 4096)
    m[:len(data)] = data
    return m
content = pattern(1 << 20)
fd = os.open("f", os.O_RDWR | os.O_CREAT | os.O_DIRECT)
assert os.write(fd, aligned(content)) == 1 << 20
assert read_file("f") == content
buffer = mmap.mmap(-1, 8192)
for at in (0, 4096, (1 << 20) - 8192):
    assert os.preadv(fd, [buffer], at) == 8192
    assert buffer[:] == content[at:at + 8192], at
assert os.preadv(fd, [buffer], (1 << 20) - 4096) == 4096
assert os.preadv(fd, [buffer], 1 << 20) == 0
buffered = os.open("f", os.O_RDWR)
os.pwrite(buffered, b"B" * 4096, 8192)
assert os.preadv(fd, [buffer], 8192) == 8192 and buffer[:4096] == b"B" * 4096
os.pread(buffered, 4096, 65536)
assert os.pwritev(fd, [aligned(b"D" * 4096)], 65536) == 4096
assert os.pread(buffered, 4096, 65536) == b"D" * 4096
os.close(buffered)
os.close(fd)
data = read_file("f")
assert data == content[:8192] + b"B" * 4096 + content[12288:65536] + b"D" * 4096 + content[69632:]
`,
    { needs: ['direct-io'] },
  ),
  pythonCase(
    'O_DIRECT without alignment: EINVAL as on a disk, or the right bytes',
    `
content = pattern(10_000)
write_file("f", content)
fd = os.open("f", os.O_RDWR | os.O_DIRECT)
try:
    assert os.pwrite(fd, b"unaligned", 777) == 9
    content = content[:777] + b"unaligned" + content[786:]
except OSError as e:
    assert e.errno == errno.EINVAL
try:
    assert os.pread(fd, 5001, 3) == content[3:5004]
except OSError as e:
    assert e.errno == errno.EINVAL
os.close(fd)
assert read_file("f") == content
`,
    { needs: ['direct-io'] },
  ),
  pythonCase(
    'O_SYNC and O_DSYNC, with O_APPEND too; fcntl tells and changes the flags',
    `
for flag in (os.O_SYNC, os.O_DSYNC):
    fd = os.open("f", os.O_RDWR | os.O_CREAT | os.O_TRUNC | flag)
    for i in range(10): assert os.write(fd, b"%04d" % i) == 4
    assert os.pread(fd, 100, 0) == b"".join(b"%04d" % i for i in range(10))
    assert fcntl.fcntl(fd, fcntl.F_GETFL) & flag == flag
    os.close(fd)
    fd = os.open("f", os.O_RDWR | os.O_APPEND | flag)
    os.write(fd, b"end")
    os.close(fd)
    assert read_file("f")[-7:] == b"0009end"
fd = os.open("f", os.O_RDWR | os.O_TRUNC)
os.write(fd, b"0123456789")
fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)
os.lseek(fd, 0, os.SEEK_SET)
os.write(fd, b"appended")
fcntl.fcntl(fd, fcntl.F_SETFL, 0)
os.lseek(fd, 0, os.SEEK_SET)
os.write(fd, b"start")
os.close(fd)
assert read_file("f") == b"start56789appended"
`,
  ),
  pythonCase(
    'O_APPEND: the position follows the end, pwrite appends too, a truncation moves the end',
    `
fd = os.open("f", os.O_RDWR | os.O_CREAT | os.O_APPEND)
os.write(fd, b"one")
assert os.lseek(fd, 0, os.SEEK_CUR) == 3
other = os.open("f", os.O_WRONLY | os.O_APPEND)
os.write(other, b"two")
os.write(fd, b"three")
assert os.lseek(fd, 0, os.SEEK_CUR) == 11
os.pwrite(fd, b"four", 0)
assert os.pread(fd, 100, 0) == b"onetwothreefour"
os.ftruncate(fd, 4)
os.write(other, b"five")
assert os.pread(fd, 100, 0) == b"onetfive"
os.close(other)
os.close(fd)
assert read_file("f") == b"onetfive"
`,
  ),
  pythonCase(
    'preadv, pwritev, readv, writev with buffers of many sizes',
    `
content = pattern(300_000)
fd = os.open("f", os.O_RDWR | os.O_CREAT)
parts, at, size = [], 0, 1
while at < len(content):
    parts.append(content[at:at + size])
    at += size
    size = size * 3 % 9973 + 1
assert len(parts) < 1024, len(parts)
assert os.writev(fd, parts) == len(content)
assert os.pwritev(fd, [b"ab", b"", b"cdef"], 100) == 6
content = content[:100] + b"abcdef" + content[106:]
buffers = [bytearray(len(p)) for p in parts]
assert os.preadv(fd, buffers, 0) == len(content)
assert b"".join(buffers) == content
os.lseek(fd, 0, os.SEEK_SET)
assert os.readv(fd, [bytearray(10), bytearray(400_000)]) == 300_000
assert os.preadv(fd, [bytearray(10)], 299_995) == 5
os.close(fd)
`,
  ),
  pythonCase(
    'sendfile and splice, from the filesystem and to it',
    `
content = pattern(700_000)
write_file("a", content)
src, dst = os.open("a", os.O_RDONLY), os.open("b", os.O_WRONLY | os.O_CREAT)
at = 0
while at < len(content):
    at += os.sendfile(dst, src, at, len(content) - at)
os.close(dst)
assert read_file("b") == content
dst = os.open("c", os.O_WRONLY | os.O_CREAT)
r, w = os.pipe()
SYS = {"x86_64": 275, "aarch64": 76}[os.uname().machine]
def splice(fd_in, fd_out, length):
    return libc.syscall(SYS, fd_in, None, fd_out, None, ctypes.c_size_t(length), 0)
while (n := splice(src, w, 65536)) > 0:
    while n > 0: n -= splice(r, dst, n)
os.close(dst)
assert read_file("c") == content
import socket, threading
a, b = socket.socketpair()
got = bytearray()
def drain():
    while data := b.recv(65536): got.extend(data)
t = threading.Thread(target=drain)
t.start()
with open("a", "rb") as f: a.sendfile(f)
a.close()
t.join()
assert bytes(got) == content
`,
  ),
  pythonCase(
    'across 2 GiB, 4 GiB and far beyond: read, write, truncate, seek, map',
    `
fd = os.open("f", os.O_RDWR | os.O_CREAT)
expected = {}
for edge in (1 << 31, 1 << 32, 1 << 33, 1 << 40):
    data = pattern(9000, edge >> 20 | 1)
    assert os.pwrite(fd, data, edge - 4500) == 9000
    expected[edge] = data
assert os.fstat(fd).st_size == (1 << 40) + 4500
assert os.lseek(fd, 0, os.SEEK_END) == (1 << 40) + 4500
os.fsync(fd)
os.close(fd)
fd = os.open("f", os.O_RDWR)
for edge, data in expected.items():
    assert os.pread(fd, 9100, edge - 4550)[50:9050] == data, edge
    assert os.pread(fd, 50, edge - 4550) == bytes(50)
os.lseek(fd, (1 << 32) - 10, os.SEEK_SET)
os.write(fd, b"across four gibibytes")
assert os.lseek(fd, 0, os.SEEK_CUR) == (1 << 32) + 11
m = mmap.mmap(fd, 8192, offset=(1 << 32) - 4096)
assert m[4086:4107] == b"across four gibibytes"
m[0:3] = b"map"
m.close()
assert os.pread(fd, 3, (1 << 32) - 4096) == b"map"
os.ftruncate(fd, (1 << 32) + 3)
assert os.pread(fd, 100, (1 << 32) - 10) == b"across four g"
os.ftruncate(fd, 1 << 33)
assert os.pread(fd, 10, 1 << 32) == b"r g" + bytes(7)
os.close(fd)
os.truncate("f", 0)
`,
  ),
  pythonCase(
    'lseek: its errors, beyond the end, and the limits of a file',
    `
fd = os.open("f", os.O_RDWR | os.O_CREAT)
os.write(fd, b"0123456789")
fails(errno.EINVAL, os.lseek, fd, -1, os.SEEK_SET)
fails(errno.EINVAL, os.lseek, fd, -11, os.SEEK_END)
fails(errno.EINVAL, os.lseek, fd, 0, 99)
assert os.lseek(fd, 5, os.SEEK_END) == 15
assert os.fstat(fd).st_size == 10
assert os.read(fd, 5) == b""
os.write(fd, b"x")
assert os.fstat(fd).st_size == 16
assert os.pread(fd, 100, 0) == b"0123456789" + bytes(5) + b"x"
fails(errno.EINVAL, os.ftruncate, fd, -1)
fails(errno.EINVAL, os.pwrite, fd, b"x", -1)
fails(errno.EFBIG, os.pwrite, fd, b"x", 1 << 62)
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
assert os.pwrite(fd, b"x" * 20, 90) == 10
fails(errno.EFBIG, os.pwrite, fd, b"x", 100)
fails(errno.EFBIG, os.ftruncate, fd, 101)
os.close(fd)
`,
  ),
  pythonCase(
    'rename and unlink over open files: writers and readers keep what they had open',
    `
for name in ("a", "b"): write_file(name, name.encode() * 10)
ra, wb = os.open("a", os.O_RDONLY), os.open("b", os.O_RDWR)
os.rename("a", "b")
assert os.fstat(wb).st_nlink == 0 and os.fstat(ra).st_nlink == 1
os.write(wb, b"into the replaced file")
os.fsync(wb)
assert os.pread(ra, 100, 0) == read_file("b") == b"a" * 10
assert os.pread(wb, 100, 0) == b"into the replaced file"
os.unlink("b")
assert os.fstat(ra).st_nlink == 0
assert os.pread(ra, 100, 0) == b"a" * 10
os.ftruncate(wb, 1_000_000)
os.pwrite(wb, b"end", 999_997)
assert os.pread(wb, 4, 999_996) == b"\\0end"
os.close(ra)
fails(errno.ENOENT, libc.linkat, -100, b"/proc/self/fd/%d" % wb, -100, b"back", 0x400)
os.close(wb)
assert os.listdir(".") == []
`,
    { needs: ['unlinked-open'] },
  ),
];
