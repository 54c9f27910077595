import type { PosixCase } from '../posix-case.ts';
import { pythonCase } from '../python-case.ts';

/** readdir(3) with its positions, which Python does not show. */
const DIRENT = `
class Dirent(ctypes.Structure):
    _fields_ = [("ino", ctypes.c_uint64), ("off", ctypes.c_int64), ("reclen", ctypes.c_uint16), ("type", ctypes.c_uint8), ("name", ctypes.c_char * 256)]
for name, result, args in (("opendir", ctypes.c_void_p, [ctypes.c_char_p]), ("readdir", ctypes.POINTER(Dirent), [ctypes.c_void_p]),
                           ("telldir", ctypes.c_long, [ctypes.c_void_p]), ("seekdir", None, [ctypes.c_void_p, ctypes.c_long]),
                           ("rewinddir", None, [ctypes.c_void_p]), ("closedir", ctypes.c_int, [ctypes.c_void_p])):
    getattr(libc.dll, name).restype, getattr(libc.dll, name).argtypes = result, args
def next_name(d):
    e = libc.dll.readdir(d)
    return e.contents.name if e else None
def rest(d):
    out = []
    while (name := next_name(d)) is not None: out.append(name)
    return out
`;

/** A directory of `count` names of few files: links are the cheapest names to make. */
const MANY_NAMES = `
def many(directory, count, prefix="n"):
    os.mkdir(directory)
    d = os.open(directory, os.O_RDONLY)
    names = ["%s%06d" % (prefix, i) for i in range(count)]
    for at in range(0, count, 30_000):
        source = names[at]
        os.close(os.open(source, os.O_CREAT | os.O_WRONLY, dir_fd=d))
        in_parallel(lambda name: os.link(source, name, src_dir_fd=d, dst_dir_fd=d), names[at + 1:at + 30_000])
    os.close(d)
    return names
`;

function largeDirectory(count: number): PosixCase {
  return pythonCase(
    `a directory of ${count} entries: listed whole, positions, looked up, removed`,
    `${DIRENT}${MANY_NAMES}
names = many("d", ${count})
assert sorted(os.listdir("d")) == names
assert os.path.exists("d/" + names[${count} // 2]) and not os.path.exists("d/n999999x")
d = libc.dll.opendir(b"d")
listed, positions = [], []
while True:
    position = libc.dll.telldir(d)
    name = next_name(d)
    if name is None: break
    listed.append(name)
    positions.append(position)
assert len(listed) == len(set(listed)) == ${count} + 2
for at in (${count} - 1, 5, ${count} // 2, 0):
    libc.dll.seekdir(d, positions[at])
    assert next_name(d) == listed[at], at
libc.dll.closedir(d)
in_parallel(lambda name: os.unlink("d/" + name), names)
os.rmdir("d")
`,
  );
}

function changingDirectory(stay: number, churn: number): PosixCase {
  return pythonCase(
    `readdir of ${stay} entries neither loses nor repeats one while ${churn} others come and go`,
    `${MANY_NAMES}
names = set(many("d", ${stay}))
pid = os.fork()
if pid == 0:
    for i in range(${churn}):
        # Sorted before, between and behind those that stay; new names and old ones.
        for p in ("a", "n%06dx" % (i * 7 % ${stay}), "z"):
            os.link("d/n000000", "d/%s%d" % (p, i))
            if i % 2 == 0: os.rename("d/%s%d" % (p, i), "d/%s%dr" % (p, i))
        if i >= 5:
            j = i - 5
            for p in ("a", "n%06dx" % (j * 7 % ${stay}), "z"):
                os.unlink("d/%s%d%s" % (p, j, "r" if j % 2 == 0 else ""))
    os._exit(0)
rounds = 0
while True:
    ended = os.waitpid(pid, os.WNOHANG)
    listed = [e.name for e in os.scandir("d")]
    seen = set(listed)
    assert len(listed) == len(seen), sorted(n for n in seen if listed.count(n) > 1)[:5]
    assert names <= seen, sorted(names - seen)[:5]
    rounds += 1
    if ended[0] == pid: break
assert ended[1] == 0 and rounds > 1
assert len(listed) == ${stay} + 15, len(listed)
`,
  );
}

function deepTree(levels: number): PosixCase {
  return pythonCase(
    `a tree ${levels} deep is made, measured and removed by rm -rf`,
    `
top = os.open(".", os.O_RDONLY)
d = os.dup(top)
for i in range(${levels}):
    os.mkdir("sub", dir_fd=d)
    next_d = os.open("sub", os.O_RDONLY, dir_fd=d)
    os.close(d)
    d = next_d
os.close(os.open("leaf", os.O_CREAT, dir_fd=d))
os.close(d)
found = subprocess.run(["find", "sub"], capture_output=True, check=True).stdout.splitlines()
assert len(found) == ${levels} + 1
subprocess.run(["rm", "-rf", "sub"], check=True)
assert os.listdir(".") == []
`,
  );
}

export const pathCases: readonly PosixCase[] = [
  // More than readdir(3) reads at once, so that seekdir(3) asks for positions that were passed before.
  largeDirectory(2500),
  changingDirectory(150, 20),
  pythonCase(
    'telldir, seekdir, rewinddir: a position stays good while entries are removed and made',
    `${DIRENT}
os.mkdir("d")
in_parallel(lambda i: os.close(os.open("d/f%03d" % i, os.O_CREAT)), range(150))
d = libc.dll.opendir(b"d")
first = [next_name(d) for _ in range(50)]
position = libc.dll.telldir(d)
others = rest(d)
assert len(set(first + others)) == 152
assert next_name(d) is None
libc.dll.seekdir(d, position)
assert rest(d) == others
in_parallel(lambda name: name.startswith(b".") or os.unlink(b"d/" + name), first[25:] + others[50:])
libc.dll.seekdir(d, position)
again = rest(d)
assert set(others[:50]) <= set(again) <= set(others), again
libc.dll.rewinddir(d)
os.close(os.open("d/late", os.O_CREAT))
libc.dll.rewinddir(d)
whole = rest(d)
assert sorted(n.decode() for n in whole) == sorted([".", ".."] + os.listdir("d"))
assert b"late" in whole
libc.dll.closedir(d)
`,
  ),
  pythonCase(
    'names of every byte but slash and zero, and of 255 bytes in any encoding',
    `
names = [bytes([b]) for b in range(1, 256) if b not in (0x2f, 0x2e)]
names += ["é".encode() * 127 + b"x", "日".encode() * 85, b"\\xff" * 255, b"." * 255, b" " * 255]
in_parallel(lambda n: os.close(os.open(n, os.O_CREAT | os.O_EXCL)), names)
assert sorted(os.listdir(b".")) == sorted(names)
changed = lambda n: n + b"\\xfe" if len(n) < 255 else b"\\xfe" + n[1:]
in_parallel(lambda n: os.rename(n, changed(n)), names[::3])
moved = sorted(changed(n) if i % 3 == 0 else n for i, n in enumerate(names))
assert sorted(os.listdir(b".")) == moved
in_parallel(os.unlink, moved)
assert os.listdir(b".") == []
for f in (lambda: os.mkdir(b"x" * 256), lambda: os.symlink("t", b"\\xff" * 256), lambda: os.mkfifo("é" * 128),
          lambda: os.stat(b"x" * 256), lambda: os.unlink(b"x" * 256)):
    fails(errno.ENAMETOOLONG, f)
`,
    { needs: ['binary-names'] },
  ),
  pythonCase(
    'paths up to PATH_MAX: 4,095 bytes, not one more',
    `
top = os.getcwd()
deep, name = "", "d" * 200
while len(deep) + 201 < 3800:
    deep += name + "/"
os.makedirs(deep)
left = 4095 - len(deep)
while left > 255:
    deep += "e" * 100 + "/"
    os.mkdir(deep)
    left = 4095 - len(deep)
path = deep + "f" * left
assert len(path) == 4095
write_file(path, b"far")
assert os.stat(path).st_size == 3 and read_file(path) == b"far"
fails(errno.ENAMETOOLONG, os.stat, "./" + path)
fails(errno.ENAMETOOLONG, os.open, path[:-1] + "/x" * 10, os.O_CREAT | os.O_WRONLY)
os.symlink(path, "to-far")
assert read_file("to-far") == b"far" and len(os.readlink("to-far")) == 4095
os.rename(path, "near")
assert read_file("near") == b"far"
`,
  ),
  pythonCase(
    'symbolic links: 4,095 bytes of target, chains of 40, loops',
    `
for length in (1, 255, 4094, 4095):
    os.symlink("t" * length, "l%d" % length)
    assert os.readlink("l%d" % length) == "t" * length
    assert os.lstat("l%d" % length).st_size == length
fails(errno.ENAMETOOLONG, os.symlink, "t" * 4096, "too-long")
fails(errno.ENOENT, os.symlink, "", "empty")
target = bytes(range(1, 256)) * 3
os.symlink(target, b"bytes")
assert os.readlink(b"bytes") == target
write_file("c0", b"end")
for i in range(1, 42): os.symlink("c%d" % (i - 1), "c%d" % i)
assert read_file("c40") == b"end"
fails(errno.ELOOP, os.open, "c41", os.O_RDONLY)
os.symlink("b", "a")
os.symlink("a", "b")
for f in (os.stat, os.listdir, os.chdir, os.truncate):
    fails(errno.ELOOP, f, "a", *([0] if f is os.truncate else []))
fails(errno.ELOOP, os.open, "a/x", os.O_CREAT | os.O_WRONLY)
os.mkdir("d")
os.symlink(".", "d/self")
write_file("d/" + "self/" * 39 + "f", b"x")
fails(errno.ELOOP, os.stat, "d/" + "self/" * 41 + "f")
assert os.lstat("a").st_nlink == 1
os.link("a", "hard", follow_symlinks=False)
assert os.lstat("a").st_nlink == 2 and os.readlink("hard") == "b"
`,
    { needs: ['binary-names'] },
  ),
  deepTree(70),
  pythonCase(
    'hard links: every name tells the same count, through renames, to the last',
    `
write_file("f", b"x")
os.mkdir("d")
names = ["f"]
fd = os.open("f", os.O_RDONLY)
for i in range(50):
    name = ("d/" if i % 2 else "") + "l%d" % i
    os.link(names[i % len(names)], name)
    names.append(name)
    assert {os.stat(n).st_nlink for n in names[-3:]} == {os.fstat(fd).st_nlink} == {i + 2}
assert len({os.stat(n).st_ino for n in names}) == 1
os.rename("l0", "l2")
assert os.path.exists("l0") and os.path.exists("l2")
while names:
    os.unlink(names.pop())
    assert os.fstat(fd).st_nlink == len(names)
os.close(fd)
assert os.listdir("d") == []
`,
    { needs: ['unlinked-open'] },
  ),
];

/** The same with the numbers of the promise; minutes on a cluster. */
export const longPathCases: readonly PosixCase[] = [
  deepTree(500),
  largeDirectory(100_000),
  changingDirectory(20_000, 2000),
];
