import { type PosixCase, python } from '../posix-case.ts';

/** Two processes and what they have locked, by a small language of one command per line. */
export const LOCK_AGENTS = `
import os, subprocess, sys, time
LIBRARY = r'''
import errno, fcntl, os, signal, struct, sys
R, W, U = fcntl.F_RDLCK, fcntl.F_WRLCK, fcntl.F_UNLCK
FLOCK = struct.Struct("hhqqi4x")
OFD_GETLK, OFD_SETLK, OFD_SETLKW = 36, 37, 38
fds = {}
def name(e):
    return errno.errorcode[e.errno]
def opened(path, flags=os.O_RDWR | os.O_CREAT):
    fds[path] = os.open(path, flags, 0o644)
    return fds[path]
def lock(fd, kind, start=0, length=0, wait=False, cmd=None):
    cmd = cmd or (fcntl.F_SETLKW if wait else fcntl.F_SETLK)
    try:
        fcntl.fcntl(fd, cmd, FLOCK.pack(kind, os.SEEK_SET, start, length, 0))
        return "ok"
    except OSError as e:
        return name(e)
def probe(fd, kind, start=0, length=0, cmd=None):
    out = fcntl.fcntl(fd, cmd or fcntl.F_GETLK, FLOCK.pack(kind, os.SEEK_SET, start, length, 0))
    kind, whence, start, length, pid = FLOCK.unpack(out)
    return (kind, start, length, pid) if kind != U else None
def caught(work):
    signal.signal(signal.SIGUSR1, lambda *ignored: 1 / 0)
    try:
        return work()
    except ZeroDivisionError:
        return "signal"
def flock(fd, how):
    try:
        fcntl.flock(fd, how)
        return "ok"
    except OSError as e:
        return name(e)
'''
exec(LIBRARY)
AGENT = LIBRARY + r'''
for line in sys.stdin:
    print(repr(eval(line)), flush=True)
'''
# Numbers of fcntl and flock on x86-64 and arm64; "running" while it is not in the kernel.
FCNTL_OR_FLOCK = ("72", "73") if os.uname().machine == "x86_64" else ("25", "32")
class Agent:
    def __init__(self, cwd="."):
        self.child = subprocess.Popen([sys.executable, "-c", AGENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=cwd)
    def start(self, text):
        self.child.stdin.write(text + "\\n")
        self.child.stdin.flush()
    def finish(self):
        return eval(self.child.stdout.readline())
    def ask(self, text):
        self.start(text)
        return self.finish()
    @property
    def pid(self):
        return self.child.pid
    def waits(self):
        "Until it sleeps in the kernel for a lock."
        while True:
            with open("/proc/%d/syscall" % self.pid) as f:
                number = f.read().split()[0]
            if number in FCNTL_OR_FLOCK:
                return
            time.sleep(0.01)
    def end(self, how=signal.SIGTERM):
        self.child.send_signal(how)
        self.child.wait()
def is_(got, want):
    assert got == want, (got, want)
MAX = 2**63 - 1
`;

const locks = (name: string, program: string): PosixCase => ({
  name: `locks: ${name}`,
  commands: ['python3'],
  run: async (dir) => {
    await python(LOCK_AGENTS + program, dir);
  },
});

export const lockCases: readonly PosixCase[] = [
  locks(
    'fcntl ranges are split, joined, upgraded and told',
    `
a, b = Agent(), Agent()
for x in a, b: x.ask("opened('f')")
is_(a.ask("lock(fds['f'], W, 10, 20)"), "ok")
is_(b.ask("lock(fds['f'], R, 29, 1)"), "EAGAIN")
is_(b.ask("lock(fds['f'], W, 30, 10)"), "ok")
is_(b.ask("lock(fds['f'], W, 0, 10)"), "ok")
is_(b.ask("probe(fds['f'], W)"), (W, 10, 20, a.pid))
is_(b.ask("probe(fds['f'], R, 5, 20)"), (W, 10, 20, a.pid))
is_(b.ask("probe(fds['f'], R, 0, 10)"), None)
is_(a.ask("lock(fds['f'], U, 15, 5)"), "ok")
is_(b.ask("lock(fds['f'], R, 15, 5)"), "ok")
is_(b.ask("probe(fds['f'], R, 12, 100)"), (W, 10, 5, a.pid))
is_(b.ask("lock(fds['f'], U, 15, 5)"), "ok")
is_(a.ask("lock(fds['f'], W, 15, 5)"), "ok")
is_(b.ask("probe(fds['f'], R, 12, 1)"), (W, 10, 20, a.pid))
is_(a.ask("lock(fds['f'], R, 12, 2)"), "ok")
is_(b.ask("lock(fds['f'], R, 12, 2)"), "ok")
is_(b.ask("probe(fds['f'], W, 12, 1)"), (R, 12, 2, a.pid))
is_(a.ask("lock(fds['f'], W, 12, 2)"), "EAGAIN")
is_(b.ask("lock(fds['f'], U, 0, 0)"), "ok")
is_(a.ask("lock(fds['f'], W, 12, 2)"), "ok")
is_(b.ask("probe(fds['f'], R, 13, 0)"), (W, 10, 20, a.pid))
a.end(); b.end()
`,
  ),
  locks(
    'a length of 0 is to the end, up to the largest offset',
    `
a, b = Agent(), Agent()
for x in a, b: x.ask("opened('f')")
is_(a.ask("lock(fds['f'], W, 2**40, 0)"), "ok")
is_(b.ask("probe(fds['f'], W, 2**62, 1)"), (W, 2**40, 0, a.pid))
is_(b.ask("lock(fds['f'], W, 2**63 - 1, 1)"), "EAGAIN")
is_(a.ask("lock(fds['f'], U, 2**53 + 1, 2)"), "ok")
is_(b.ask("lock(fds['f'], W, 2**53 + 1, 2)"), "ok")
is_(b.ask("lock(fds['f'], W, 2**53 + 3, 1)"), "EAGAIN")
is_(b.ask("probe(fds['f'], W, 2**53 + 1, 3)"), (W, 2**53 + 3, 0, a.pid))
is_(b.ask("lock(fds['f'], W, 2**63 - 1, 2)"), "EOVERFLOW")
a.end(); b.end()
`,
  ),
  locks(
    'need a descriptor open for what they lock',
    `
os.close(os.open("f", os.O_CREAT | os.O_WRONLY, 0o644))
is_(lock(os.open("f", os.O_RDONLY), W), "EBADF")
is_(lock(os.open("f", os.O_WRONLY), R), "EBADF")
`,
  ),
  locks(
    'closing any descriptor of the file gives up the fcntl locks of the process',
    `
a, b = Agent(), Agent()
for x in a, b: x.ask("opened('f')")
is_(a.ask("lock(fds['f'], W)"), "ok")
is_(b.ask("lock(fds['f'], R)"), "EAGAIN")
a.ask("os.close(os.open('f', os.O_RDONLY))")
is_(b.ask("lock(fds['f'], W)"), "ok")
is_(b.ask("lock(fds['f'], U)"), "ok")
is_(a.ask("lock(fds['f'], W)"), "ok")
a.ask("os.close(fds['f'])")
is_(b.ask("lock(fds['f'], W)"), "ok")
a.end(); b.end()
`,
  ),
  locks(
    'fcntl locks are not inherited by a child, flock is',
    `
fd = opened("f")
is_(lock(fd, W), "ok")
is_(flock(fd, fcntl.LOCK_EX), "ok")
r, w = os.pipe()
pid = os.fork()
if pid == 0:
    os.write(w, ("%s %s" % (lock(fd, R), flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB))).encode())
    os._exit(0)
os.close(w)
is_(os.read(r, 100), b"EAGAIN ok")
os.waitpid(pid, 0)
other = os.open("f", os.O_RDWR)
is_(flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB), "EAGAIN")
b = Agent()
b.ask("opened('f')")
is_(b.ask("lock(fds['f'], R)"), "EAGAIN")
b.end()
`,
  ),
  locks(
    'who waits gets the lock when it is released, by unlocking, by closing, by dying',
    `
b = Agent()
b.ask("opened('f')")
for release in ("lock(fds['f'], U)", "os.close(fds['f'])", None):
    a = Agent()
    a.ask("opened('f')")
    is_(a.ask("lock(fds['f'], W)"), "ok")
    b.start("lock(fds['f'], R, 5, 5, wait=True)")
    b.waits()
    if release is None: a.end(signal.SIGKILL)
    else: a.ask(release)
    is_(b.finish(), "ok")
    is_(b.ask("lock(fds['f'], U)"), "ok")
    if release is not None: a.end()
b.end()
`,
  ),
  locks(
    'a signal ends the wait, and nothing stays locked',
    `
a, b, c = Agent(), Agent(), Agent()
for x in a, b, c: x.ask("opened('f')")
is_(a.ask("lock(fds['f'], W)"), "ok")
b.start("caught(lambda: lock(fds['f'], W, wait=True))")
b.waits()
b.child.send_signal(signal.SIGUSR1)
is_(b.finish(), "signal")
is_(a.ask("lock(fds['f'], U)"), "ok")
is_(c.ask("lock(fds['f'], W)"), "ok")
is_(c.ask("lock(fds['f'], U)"), "ok")
is_(a.ask("lock(fds['f'], W)"), "ok")
b.start("lock(fds['f'], W, wait=True)")
b.waits()
b.end(signal.SIGKILL)
is_(a.ask("lock(fds['f'], U)"), "ok")
is_(c.ask("lock(fds['f'], W)"), "ok")
a.end(); c.end()
`,
  ),
  locks(
    'a deadlock is told to the one who would close the circle',
    `
a, b = Agent(), Agent()
for x in a, b:
    x.ask("opened('f')")
    x.ask("opened('g')")
is_(a.ask("lock(fds['f'], W, 0, 10)"), "ok")
is_(b.ask("lock(fds['g'], W, 0, 10)"), "ok")
a.start("lock(fds['g'], W, 0, 10, wait=True)")
a.waits()
is_(b.ask("lock(fds['f'], W, 5, 1, wait=True)"), "EDEADLOCK") # Python prefers this name
is_(b.ask("lock(fds['f'], W, 5, 1)"), "EAGAIN")
is_(b.ask("lock(fds['g'], U)"), "ok")
is_(a.finish(), "ok")
a.end(); b.end()
`,
  ),
  locks(
    'flock belongs to the open file description, and converts',
    `
EX, SH, UN, NB = fcntl.LOCK_EX, fcntl.LOCK_SH, fcntl.LOCK_UN, fcntl.LOCK_NB
one, two = opened("f"), os.open("f", os.O_RDONLY)
is_(flock(one, EX | NB), "ok")
is_(flock(two, SH | NB), "EAGAIN")
dup = os.dup(one)
is_(flock(dup, EX | NB), "ok")
os.close(one)
is_(flock(two, SH | NB), "EAGAIN")
is_(flock(dup, SH | NB), "ok")
is_(flock(two, SH | NB), "ok")
is_(flock(two, EX | NB), "EAGAIN")
is_(flock(dup, UN), "ok")
is_(flock(two, EX | NB), "ok")
is_(lock(dup, W), "ok")
os.close(two)
b = Agent()
b.ask("opened('f')")
is_(b.ask("flock(fds['f'], fcntl.LOCK_EX)"), "ok")
b.end(signal.SIGKILL)
is_(flock(dup, EX), "ok")
`,
  ),
  locks(
    'who waits for flock gets it when its holder is killed',
    `
a, b = Agent(), Agent()
for x in a, b: x.ask("opened('f')")
is_(a.ask("flock(fds['f'], fcntl.LOCK_EX)"), "ok")
b.start("flock(fds['f'], fcntl.LOCK_EX)")
b.waits()
a.end(signal.SIGKILL)
is_(b.finish(), "ok")
b.end()
`,
  ),
  locks(
    'open file description locks conflict within a process and go with the description',
    `
one, two = opened("f"), os.open("f", os.O_RDWR)
is_(lock(one, W, 0, 10, cmd=OFD_SETLK), "ok")
is_(lock(two, R, 5, 1, cmd=OFD_SETLK), "EAGAIN")
is_(lock(two, R, 5, 1), "EAGAIN")
is_(probe(two, R, 0, 0, cmd=OFD_GETLK)[:3], (W, 0, 10))
os.close(os.open("f", os.O_RDWR))
is_(lock(two, R, 5, 1, cmd=OFD_SETLK), "EAGAIN")
dup = os.dup(one)
os.close(one)
is_(lock(two, R, 5, 1, cmd=OFD_SETLK), "EAGAIN")
os.close(dup)
is_(lock(two, W, 5, 1, cmd=OFD_SETLKW), "ok")
`,
  ),
  locks(
    'four processes count under a lock and lose nothing',
    `
COUNT = LIBRARY + r'''
fd = os.open("count", os.O_RDWR | os.O_CREAT, 0o644)
for i in range(10):
    if sys.argv[1] == "flock": fcntl.flock(fd, fcntl.LOCK_EX)
    else: lock(fd, W, 0, 1, wait=True)
    n = int(os.pread(fd, 20, 0) or b"0")
    os.pwrite(fd, b"%d" % (n + 1), 0)
    if sys.argv[1] == "flock": fcntl.flock(fd, fcntl.LOCK_UN)
    else: lock(fd, U, 0, 1)
'''
for kind in "flock", "fcntl":
    running = [subprocess.Popen([sys.executable, "-c", COUNT, kind]) for i in range(4)]
    for child in running: assert child.wait() == 0
is_(open("count").read(), "80")
`,
  ),
];
