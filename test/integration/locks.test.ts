import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { defined } from '../../src/base/assert.ts';
import { LOCK_AGENTS } from '../posix/cases/locks.ts';
import { python } from '../posix/posix-case.ts';
import { environment, RINGFS_MAIN, ringfs, TestCluster, until } from '../support/test-cluster.ts';

/** A mount whose process is this one's child. */
async function mountProcess(addresses: string, directory: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, [RINGFS_MAIN, 'mount', addresses, directory, '--foreground'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: environment(),
  });
  let output = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  await until('the second mount is ready', () => output.includes('ready') || undefined);
  return child;
}

/** One program with an agent on each of two mounts; `a` holds and `b` wants. */
const across = (program: string): string => `${LOCK_AGENTS}
a, b = Agent(sys.argv[1]), Agent(sys.argv[2])
for x in a, b: x.ask("opened('f')")
${program}
`;

describe('locks across two mounts', () => {
  let cluster: TestCluster;
  let other = '';
  let second: ChildProcess | undefined;
  before(async () => {
    cluster = await TestCluster.start();
    other = mkdtempSync(path.join(tmpdir(), 'ringfs-locks-'));
    second = await mountProcess(cluster.addresses.join(','), other);
  });
  after(async () => {
    second?.kill('SIGKILL');
    spawnSync('umount', ['-l', other]);
    rmdirSync(other);
    await cluster.remove();
  });
  const run = (program: string): Promise<string> => python(across(program), '/', [cluster.mount, other]);

  it('exclude each other, fcntl by range and flock', async () => {
    await run(`
is_(a.ask("lock(fds['f'], W, 10, 10)"), "ok")
is_(b.ask("lock(fds['f'], R, 19, 1)"), "EAGAIN")
is_(b.ask("lock(fds['f'], W, 20, 10)"), "ok")
is_(b.ask("probe(fds['f'], W, 0, 15)"), (W, 10, 10, 0))
is_(a.ask("lock(fds['f'], R, 0, 0)"), "EAGAIN")
is_(a.ask("flock(fds['f'], fcntl.LOCK_SH)"), "ok")
is_(b.ask("flock(fds['f'], fcntl.LOCK_SH)"), "ok")
is_(b.ask("flock(fds['f'], fcntl.LOCK_EX | fcntl.LOCK_NB)"), "EAGAIN")
a.ask("os.close(fds['f'])")
is_(b.ask("lock(fds['f'], W, 0, 0)"), "ok")
a.end(); b.end()
`);
  });

  it('are handed over to who waits, who sees what was written under them, without a close', async () => {
    await run(`
is_(b.ask("os.pread(fds['f'], 10, 0)"), b"")
for i in range(10):
    giver, taker = (a, b) if i % 2 == 0 else (b, a)
    is_(giver.ask("lock(fds['f'], W, 0, 0, wait=True)"), "ok")
    taker.start("lock(fds['f'], R if %d else W, 0, 0, wait=True)" % (i % 3))
    taker.waits()
    giver.ask("os.pwrite(fds['f'], b'round %d', 0)" % i)
    is_(giver.ask("lock(fds['f'], U)"), "ok")
    is_(taker.finish(), "ok")
    is_(taker.ask("os.pread(fds['f'], 10, 0)"), b"round %d" % i)
    is_(taker.ask("os.fstat(fds['f']).st_size"), 7)
    is_(taker.ask("lock(fds['f'], U)"), "ok")
a.end(); b.end()
`);
  });

  it('tell of a deadlock between them', async () => {
    await run(`
for x in a, b: x.ask("opened('g')")
is_(a.ask("lock(fds['f'], W)"), "ok")
is_(b.ask("lock(fds['g'], W)"), "ok")
a.start("lock(fds['g'], W, wait=True)")
a.waits()
is_(b.ask("lock(fds['f'], W, wait=True)"), "EDEADLOCK")
b.end(signal.SIGKILL)
is_(a.finish(), "ok")
a.end()
`);
  });

  it('survive the death of the leader, held and waited for', async () => {
    const { pid } = await cluster.leader();
    await run(`
is_(a.ask("lock(fds['f'], W)"), "ok")
b.start("lock(fds['f'], W, wait=True)")
b.waits()
os.kill(${defined(pid, 'its pid')}, signal.SIGKILL)
c = Agent(sys.argv[2])
c.ask("opened('f')")
is_(c.ask("lock(fds['f'], R)"), "EAGAIN")
is_(a.ask("lock(fds['f'], U)"), "ok")
is_(b.finish(), "ok")
is_(a.ask("lock(fds['f'], R)"), "EAGAIN")
for x in a, b, c: x.end()
`);
    await cluster.healthy();
  });

  it('go to who waits when the process of a mount is killed', async () => {
    const child = defined(second, 'the second mount');
    await run(`
is_(b.ask("lock(fds['f'], W)"), "ok")
is_(b.ask("flock(fds['f'], fcntl.LOCK_EX)"), "ok")
a.start("lock(fds['f'], W, wait=True)")
a.waits()
os.kill(${child.pid}, signal.SIGKILL)
is_(a.finish(), "ok")
is_(a.ask("flock(fds['f'], fcntl.LOCK_EX)"), "ok")
a.end(); b.end(signal.SIGKILL)
`);
  });

  it('are given back at once by a mount that is unmounted', async () => {
    spawnSync('umount', ['-l', other]);
    second = await mountProcess(cluster.addresses.join(','), other);
    await run(`
is_(b.ask("lock(fds['f'], W)"), "ok")
is_(a.ask("lock(fds['f'], W)"), "EAGAIN")
a.end(); b.end(signal.SIGKILL)
`);
    const unmounted = ringfs('umount', other);
    assert.equal(unmounted.status, 0, unmounted.stderr);
    await python(
      `${LOCK_AGENTS}
a = Agent(sys.argv[1])
a.ask("opened('f')")
is_(a.ask("lock(fds['f'], W)"), "ok")
a.end()
`,
      '/',
      [cluster.mount],
    );
  });
});
