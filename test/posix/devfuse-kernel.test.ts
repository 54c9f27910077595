/** What the kernel and the devfuse front end do together, beyond POSIX: caches, interrupts, references, unmounting. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdir, open, readdir, readFile, rmdir, stat, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { checkMountPoint, findMount, MountError, umountPath } from '../../mount/mount-point.ts';
import { hasDied, processState } from '../../mount/serving-process.ts';
import { type MountedProcess, mountMemoryFs, reasonNotToMount } from '../support/mounted-memory-fs.ts';
import { execute } from './posix-case.ts';

const skip = reasonNotToMount() ?? false;

function hasCode(code: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof MountError, String(error));
    assert.equal(error.code, code, error.message);
    return true;
  };
}

/** Looks until it is so: what is awaited is another process's or the kernel's doing, which has no event here. */
async function until(what: () => Promise<boolean>): Promise<void> {
  while (!(await what())) await new Promise((resolve) => setImmediate(resolve));
}

describe('devfuse and the kernel', { skip }, () => {
  let mounted: MountedProcess;
  before(async () => {
    mounted = await mountMemoryFs('devfuse');
  });
  after(() => mounted.close());

  it('drops cached pages and attributes when another client changed a file', async () => {
    const path = join(mounted.directory, 'shared');
    await writeFile(path, 'what was there before');
    const reader = await open(path, 'r');
    const buffer = Buffer.alloc(100);
    assert.equal((await reader.read(buffer, 0, 100, 0)).bytesRead, 21);
    await mounted.ask({ command: 'overwrite', name: 'shared', content: 'new, and of another length!' });
    await until(async () => (await reader.read(buffer, 0, 100, 0)).bytesRead === 27);
    assert.equal(buffer.subarray(0, 27).toString(), 'new, and of another length!');
    assert.equal((await reader.stat()).size, 27);
    await reader.close();
  });

  it('drops cached attributes when another client changed them', async () => {
    const path = join(mounted.directory, 'modes');
    await writeFile(path, '');
    const file = await open(path, 'r');
    assert.equal((await file.stat()).mode & 0o777, 0o644);
    await mounted.ask({ command: 'chmod', name: 'modes', mode: 0o600 });
    await until(async () => ((await file.stat()).mode & 0o777) === 0o600);
    await file.close();
  });

  it('interrupts a request whose caller is killed', async () => {
    const child = spawn('stat', [join(mounted.directory, 'stalled')], { stdio: 'ignore' });
    const gone = new Promise<NodeJS.Signals | null>((resolve) => {
      child.once('close', (_code, signal) => resolve(signal));
    });
    assert.equal(await mounted.nextLine(), 'stalled');
    child.kill('SIGKILL');
    assert.equal(await gone, 'SIGKILL');
    assert.ok((await stat(mounted.directory)).isDirectory());
  });

  it('forgets what the kernel does not reference any more', async () => {
    const dir = join(mounted.directory, 'many');
    await mkdir(dir);
    for (let i = 0; i < 300; i++) await writeFile(join(dir, `f${i}`), '');
    await execute('ls', ['-l', dir]);
    for (const name of await readdir(dir)) await unlink(join(dir, name));
    await rmdir(dir);
    await unlink(join(mounted.directory, 'modes'));
    await unlink(join(mounted.directory, 'shared'));
    await until(async () => {
      const counts = JSON.parse(await mounted.ask({ command: 'counts' })) as Record<string, number>;
      return counts['inodes'] === 1 && counts['handles'] === 0;
    });
  });

  it('has the read-ahead of 1 MiB', async () => {
    const { device } = (await findMount(mounted.directory))!;
    assert.equal((await readFile(`/sys/class/bdi/${device}/read_ahead_kb`, 'utf8')).trim(), '1024');
  });

  it('logged no warning', () => {
    assert.equal(mounted.errors(), '');
  });
});

for (const kind of ['devfuse', 'fuse-native'] as const) {
  describe(`mounting and unmounting: ${kind}`, { skip }, () => {
    it('refuses a directory that is mounted on', async () => {
      const mounted = await mountMemoryFs(kind);
      await assert.rejects(checkMountPoint(mounted.directory), hasCode('mounted'));
      await mounted.close();
    });

    it('says busy while a file is open, stays, and unmounts afterwards', async () => {
      const mounted = await mountMemoryFs(kind);
      const file = await open(join(mounted.directory, 'f'), 'w');
      assert.equal(await mounted.ask({ command: 'stop', options: {} }), 'busy');
      await file.write('still works');
      await file.close();
      // The kernel sends the release after close(2) has returned, and is busy until then.
      await until(async () => (await mounted.ask({ command: 'stop', options: {} })) !== 'busy');
      assert.equal(await mounted.exited, 0);
      assert.equal(await findMount(mounted.directory), undefined);
      await rmdir(mounted.directory);
    });

    it('notices an unmount from outside', async () => {
      const mounted = await mountMemoryFs(kind);
      await umountPath(mounted.directory);
      assert.equal(await mounted.nextLine(), 'unmounted');
      assert.equal(await mounted.exited, 0);
      await rmdir(mounted.directory);
    });

    it('a dead mount is told from a living one and can be unmounted', async () => {
      const mounted = await mountMemoryFs(kind);
      mounted.child.kill('SIGKILL');
      await mounted.exited;
      await assert.rejects(checkMountPoint(mounted.directory), hasCode('dead-mount'));
      await umountPath(mounted.directory);
      assert.equal(await checkMountPoint(mounted.directory), mounted.directory);
      await assert.rejects(umountPath(mounted.directory), hasCode('not-mounted'));
      await rmdir(mounted.directory);
    });

    it('unmounts by force while a file is open', async () => {
      const mounted = await mountMemoryFs(kind);
      const file = await open(join(mounted.directory, 'f'), 'w');
      mounted.child.stdin?.end();
      assert.equal(await mounted.exited, 0);
      await assert.rejects(file.write('x'));
      await file.close().catch(() => {}); // reports the loss, as it should
      await rmdir(mounted.directory);
    });
  });
}

describe('unmounting devfuse lazily', { skip }, () => {
  it('lets open files finish', async () => {
    const mounted = await mountMemoryFs('devfuse');
    const file = await open(join(mounted.directory, 'f'), 'w+');
    assert.equal(await mounted.ask({ command: 'stop', options: { lazy: true } }), 'done');
    assert.deepEqual(await readdir(mounted.directory), []);
    await file.write('written after');
    assert.equal((await file.stat()).size, 13);
    await file.close();
    assert.equal(await mounted.nextLine(), 'unmounted');
    assert.equal(await mounted.exited, 0);
    await rmdir(mounted.directory);
  });

  it('by force, even while a request is not answered', async () => {
    const mounted = await mountMemoryFs('devfuse');
    const waiting = execute('stat', [join(mounted.directory, 'stalled')]);
    assert.equal(await mounted.nextLine(), 'stalled');
    mounted.child.stdin?.end();
    assert.equal(await mounted.exited, 0);
    assert.notEqual((await waiting).code, 0);
    await rmdir(mounted.directory);
  });
});

describe('a devfuse mount whose process is killed while the kernel listens to a notice', { skip }, () => {
  it('is taken away, and the process can end', async () => {
    const mounted = await mountMemoryFs('devfuse');
    const path = join(mounted.directory, 'f');
    await writeFile(path, Buffer.alloc(12_345));
    const waiting = execute('cat', [path]);
    assert.equal(await mounted.nextLine(), 'reading');
    // The notice waits for the pages that are being read, and nothing but their answer wakes it.
    assert.equal(await mounted.ask({ command: 'invalidate', name: 'f' }), 'done');
    const pid = mounted.child.pid ?? assert.fail();
    const inKernel = async (): Promise<boolean> => {
      const tasks = await readdir(`/proc/${pid}/task`);
      const wchans = tasks.map((task) => readFile(`/proc/${pid}/task/${task}/stat`, 'latin1'));
      return (await Promise.all(wchans)).some((line) => / D /.test(line));
    };
    await until(inKernel);
    mounted.child.kill('SIGKILL');
    await until(async () => hasDied(processState(pid) ?? assert.fail('it cannot end by itself')));
    await umountPath(mounted.directory);
    assert.equal(await mounted.exited, null);
    assert.notEqual((await waiting).code, 0);
    assert.equal(await checkMountPoint(mounted.directory), mounted.directory);
    await rmdir(mounted.directory);
  });
});
