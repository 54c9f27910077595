import type { PosixCase } from '../posix-case.ts';
import { pythonCase } from '../python-case.ts';

export const mappingCases: readonly PosixCase[] = [
  pythonCase(
    'mmap: a store is seen by read(2), a write(2) by the map, at once',
    `
write_file("f", pattern(20_000))
fd = os.open("f", os.O_RDWR)
m = mmap.mmap(fd, 20_000)
for at in (0, 4095, 4096, 9999, 19_990):
    m[at:at + 5] = b"STORE"
    assert os.pread(fd, 5, at) == b"STORE", at
    assert read_file("f")[at:at + 5] == b"STORE", at
    os.pwrite(fd, b"write", at)
    assert m[at:at + 5] == b"write", at
m.flush()
m.close()
os.close(fd)
`,
  ),
  pythonCase(
    'mmap: MAP_PRIVATE changes nothing, and stays as it was stored',
    `
content = pattern(10_000)
write_file("f", content)
fd = os.open("f", os.O_RDONLY)
m = mmap.mmap(fd, 10_000, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
m[100:104] = b"mine"
os.close(fd)
assert read_file("f") == content
assert m[100:104] == b"mine"
with open("f", "r+b") as f: f.write(b"y" * 5000)
assert m[100:104] == b"mine" and m[5000:] == content[5000:]
m.close()
assert read_file("f") == b"y" * 5000 + content[5000:]
`,
  ),
  pythonCase(
    'mmap: stores outlive the descriptor, munmap without msync writes them',
    `
write_file("f", bytes(3_000_000))
fd = os.open("f", os.O_RDWR)
m = mmap.mmap(fd, 3_000_000)
os.close(fd)
for at in range(0, 3_000_000, 50_000):
    m[at:at + 8] = b"%08d" % at
m.close()
data = read_file("f")
assert len(data) == 3_000_000
for at in range(0, 3_000_000, 50_000):
    assert data[at:at + 8] == b"%08d" % at, at
    assert data[at + 8:at + 50_000] == bytes(49_992)
`,
  ),
  pythonCase(
    'mmap: two processes share a map',
    `
write_file("f", bytes(8192))
fd = os.open("f", os.O_RDWR)
m = mmap.mmap(fd, 8192)
r, w = os.pipe()
pid = os.fork()
if pid == 0:
    other = mmap.mmap(os.open("f", os.O_RDWR), 8192)
    other[5000:5005] = b"child"
    os.write(w, b".")
    os._exit(0)
assert os.read(r, 1) == b"."
assert m[5000:5005] == b"child"
assert os.waitpid(pid, 0)[1] == 0
m.close()
assert read_file("f")[5000:5005] == b"child"
`,
  ),
  pythonCase(
    'mmap: SIGBUS past the end, zeros up to the end of the page, truncation under a map',
    `
write_file("f", b"a" * 20_000)
fd = os.open("f", os.O_RDWR)
m = mmap.mmap(fd, 20_000)
assert m[19_999:] == b"a"
os.ftruncate(fd, 5000)
assert m[4999:5001] == b"a\\0" and m[8191] == 0
pid = os.fork()
if pid == 0:
    signal.signal(signal.SIGBUS, signal.SIG_DFL)
    m[8192]
    os._exit(0)
status = os.waitpid(pid, 0)[1]
assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGBUS, status
os.ftruncate(fd, 20_000)
assert m[5000:20_000] == bytes(15_000)
m[19_999:] = b"z"
m.close()
os.close(fd)
assert read_file("f") == b"a" * 5000 + bytes(14_999) + b"z"
`,
  ),
  pythonCase(
    'mmap: of an unlinked file, and a file opened for reading refuses shared writing',
    `
write_file("f", pattern(5000))
fd = os.open("f", os.O_RDWR)
m = mmap.mmap(fd, 5000)
os.unlink("f")
m[0:3] = b"abc"
m.flush()
assert os.pread(fd, 3, 0) == b"abc"
m.close()
os.close(fd)
write_file("g", pattern(5000))
fd = os.open("g", os.O_RDONLY)
fails(errno.EACCES, mmap.mmap, fd, 5000, prot=mmap.PROT_READ | mmap.PROT_WRITE)
os.close(fd)
fd = os.open("g", os.O_WRONLY)
fails(errno.EACCES, mmap.mmap, fd, 5000)
os.close(fd)
`,
  ),
];
