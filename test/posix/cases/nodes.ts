import type { PosixCase } from '../posix-case.ts';
import { pythonCase } from '../python-case.ts';

/** FIFOs, sockets, device nodes, and what statfs tells. */
export const nodeCases: readonly PosixCase[] = [
  pythonCase(
    'a FIFO carries data between processes, blocks, and tells who is gone',
    `
os.mkfifo("p", 0o640)
fails(errno.EEXIST, os.mkfifo, "p")
fails(errno.ENXIO, os.open, "p", os.O_WRONLY | os.O_NONBLOCK)
content = pattern(500_000)
pid = os.fork()
if pid == 0:
    w = os.open("p", os.O_WRONLY)
    at = 0
    while at < len(content): at += os.write(w, content[at:at + 9999])
    os._exit(0)
r = os.open("p", os.O_RDONLY)
os.rename("p", "q")
got = bytearray()
while data := os.read(r, 65536): got.extend(data)
assert bytes(got) == content
assert os.waitpid(pid, 0)[1] == 0
fails(errno.ESPIPE, os.lseek, r, 0, os.SEEK_SET)
w = os.open("q", os.O_WRONLY)
os.unlink("q")
os.close(r)
signal.signal(signal.SIGPIPE, signal.SIG_IGN)
fails(errno.EPIPE, os.write, w, b"x")
os.close(w)
`,
  ),
  pythonCase(
    'a socket is bound, connected to, renamed, and refuses when nobody listens',
    `
import socket
server = socket.socket(socket.AF_UNIX)
server.bind("sock")
assert stat.S_ISSOCK(os.stat("sock").st_mode)
fails(errno.EADDRINUSE, socket.socket(socket.AF_UNIX).bind, "sock")
fails(errno.ENXIO, os.open, "sock", os.O_RDONLY)
server.listen()
os.rename("sock", "moved")
client = socket.socket(socket.AF_UNIX)
fails(errno.ENOENT, client.connect, "sock")
client.connect("moved")
peer, _ = server.accept()
client.sendall(b"through the socket")
assert peer.recv(100) == b"through the socket"
server.close()
fails(errno.ECONNREFUSED, socket.socket(socket.AF_UNIX).connect, "moved")
write_file("plain", b"")
fails(errno.ECONNREFUSED, socket.socket(socket.AF_UNIX).connect, "plain")
os.unlink("moved")
client.sendall(b"still")
assert peer.recv(100) == b"still"
`,
  ),
  pythonCase(
    'device nodes: /dev/zero and /dev/null by other names',
    `
os.mknod("zero", 0o600 | stat.S_IFCHR, os.makedev(1, 5))
os.mknod("null", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
s = os.stat("zero")
assert stat.S_ISCHR(s.st_mode) and s.st_rdev == os.makedev(1, 5) and s.st_size == 0
fd = os.open("zero", os.O_RDONLY)
assert os.read(fd, 5) == bytes(5)
os.close(fd)
fd = os.open("null", os.O_RDWR)
assert os.write(fd, b"gone") == 4 and os.read(fd, 5) == b""
os.close(fd)
os.mknod("plain", 0o640 | stat.S_IFREG)
assert stat.S_ISREG(os.stat("plain").st_mode)
fails(errno.EEXIST, os.mknod, "plain", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
os.rename("null", "void")
assert os.stat("void").st_rdev == os.makedev(1, 3)
`,
    { root: true },
  ),
  pythonCase(
    'fsync of a directory and of what was opened for reading only',
    `
os.mkdir("d")
write_file("d/f", b"x" * 10_000)
for path in ("d", "d/f", "."):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.fdatasync(fd)
    os.close(fd)
os.sync()
fd = os.open(".", os.O_RDONLY)
assert libc.syncfs(fd) == 0
os.close(fd)
r, w = os.pipe()
fails(errno.EINVAL, os.fsync, r)
`,
  ),
  pythonCase(
    'statfs and statvfs agree, for every path and descriptor of the filesystem',
    `
os.mkdir("d")
write_file("d/f", b"x")
a, b = os.statvfs("."), os.statvfs("d/f")
fd = os.open("d/f", os.O_RDONLY)
c = os.fstatvfs(fd)
os.close(fd)
for s in (a, b, c):
    assert s.f_namemax == 255 and s.f_bsize > 0 and s.f_frsize > 0
    assert s.f_blocks == a.f_blocks and 0 <= s.f_bavail <= s.f_bfree <= s.f_blocks
    assert 0 < s.f_ffree <= s.f_files
    assert s.f_fsid == a.f_fsid
`,
  ),
];
