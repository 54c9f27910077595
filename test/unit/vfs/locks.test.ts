import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Ino } from '../../../src/base/ids.ts';
import { LOCK_POLL_MS } from '../../../src/base/limits.ts';
import type { FileHandle, LockRequest } from '../../../src/ports/file-system.ts';
import { turn } from '../../support/meta-server-fixture.ts';
import { bytes, Cluster, type Mount, O_RDWR, ROOT } from '../../support/vfs-fixture.ts';

const MAX = 2n ** 63n - 1n;
const request = (type: LockRequest['type'], more: Partial<LockRequest> = {}): LockRequest => ({
  owner: 0xffff_ffff_ffff_fff1n,
  flock: false,
  type,
  first: 0n,
  last: MAX,
  pid: 77,
  ...more,
});

interface Opened {
  readonly mount: Mount;
  readonly ino: Ino;
  readonly handle: FileHandle;
}

/** One file, open on two mounts. */
async function twoMounts(): Promise<{ cluster: Cluster; a: Opened; b: Opened }> {
  const cluster = new Cluster();
  const [one, two] = [cluster.mount(), cluster.mount()];
  const made = await one.vfs.create(ROOT, 1 as Ino, bytes('f'), 0o644, O_RDWR);
  const ino = made.attr.ino as Ino;
  // A session, which the memory service opens with the first commit.
  await two.vfs.setattr(ROOT, ino, { mode: 0o600 });
  const opened = await two.vfs.open(ROOT, ino, O_RDWR);
  return {
    cluster,
    a: { mount: one, ino, handle: made.handle },
    b: { mount: two, ino, handle: opened.handle },
  };
}

const set = (on: Opened, lock: LockRequest, wait = false, signal?: AbortSignal): Promise<void> =>
  on.mount.vfs.setlk(on.ino, on.handle, lock, wait, signal);
const write = (on: Opened, text: string): Promise<number> =>
  on.mount.vfs.write(on.ino, on.handle, 0, bytes(text));
const read = async (on: Opened): Promise<string> =>
  Buffer.concat(await on.mount.vfs.read(on.ino, on.handle, 0, 100)).toString();
const commits = (on: Opened): number => on.mount.meta.commits.length;

describe('locks of a mount', () => {
  it('exclude another mount, and tell of it without its pid', async () => {
    const { a, b } = await twoMounts();
    await set(a, request('write', { first: 5n, last: 9n }));
    await assert.rejects(set(b, request('read')), { code: 'EAGAIN' });
    assert.deepEqual(await b.mount.vfs.getlk(b.ino, b.handle, request('read')), {
      type: 'write',
      first: 5n,
      last: 9n,
      pid: 0,
    });
    assert.equal((await a.mount.vfs.getlk(a.ino, a.handle, request('read', { owner: 3n })))?.pid, 77);
    await set(a, request('unlock'));
    await set(b, request('write'));
  });

  it('are handed over with what was written under them', async () => {
    const { a, b } = await twoMounts();
    await set(a, request('write'));
    const waiting = set(b, request('write'), true);
    await turn();
    await write(a, 'under the lock');
    await set(a, request('unlock'));
    await waiting;
    assert.equal(await read(b), 'under the lock');
  });

  it('are given back by close, by release, and cost nothing where there are none', async () => {
    const { a, b } = await twoMounts();
    const owner = request('write').owner;
    const before = commits(a);
    await a.mount.vfs.flush(a.ino, a.handle, undefined, owner);
    assert.equal(commits(a), before, 'the close of a file that was not locked');
    await set(a, request('write'));
    await set(a, request('unlock'));
    assert.equal(commits(a), before + 2, 'one commit each');
    await a.mount.vfs.flush(a.ino, a.handle, undefined, owner);
    assert.equal(commits(a), before + 2, 'nothing was left to give back');
    await set(a, request('write'));
    await a.mount.vfs.flush(a.ino, a.handle, undefined, 1234n);
    await assert.rejects(set(b, request('write')), { code: 'EAGAIN' }, "another process's close");
    await a.mount.vfs.flush(a.ino, a.handle, undefined, owner);
    await set(b, request('write'));
    await set(b, request('unlock'));
    await set(a, request('write', { flock: true }));
    await a.mount.vfs.release(a.ino, a.handle);
    await set(b, request('write', { flock: true }));
  });

  it('that wait are taken back by a signal', async () => {
    const { a, b } = await twoMounts();
    await set(a, request('write'));
    const signal = new AbortController();
    const waiting = set(b, request('write'), true, signal.signal);
    await turn();
    signal.abort();
    await assert.rejects(waiting, { code: 'EINTR' });
    await set(a, request('unlock'));
    await set(a, request('write'));
  });

  it('that were granted before the signal arrived are kept and reported', async () => {
    const { a, b } = await twoMounts();
    await set(a, request('write'));
    b.mount.meta.dropGrants = true;
    const signal = new AbortController();
    const waiting = set(b, request('write'), true, signal.signal);
    await turn();
    await set(a, request('unlock'));
    signal.abort();
    await waiting;
    await assert.rejects(set(a, request('write')), { code: 'EAGAIN' });
  });

  it('are noticed without the push, by asking', async () => {
    const { a, b } = await twoMounts();
    await set(a, request('write'));
    b.mount.meta.dropGrants = true;
    const waiting = set(b, request('write'), true);
    await turn();
    await set(a, request('unlock'));
    b.mount.timers.advance(LOCK_POLL_MS);
    await waiting;
  });

  it('lost with the session: EIO for what relied on them, and what was written is not stored', async () => {
    const { cluster, a, b } = await twoMounts();
    await set(a, request('write'));
    await write(a, 'lost');
    const untouched = await a.mount.vfs.open(ROOT, a.ino, O_RDWR);
    cluster.meta.expire(a.mount.meta);
    await set(b, request('write'));
    a.mount.meta.noticeSessionLost();
    await assert.rejects(write(a, 'more'), { code: 'EIO' });
    await assert.rejects(set(a, request('read')), { code: 'EIO' });
    await assert.rejects(a.mount.vfs.fsync(a.ino, a.handle, false), { code: 'EIO' });
    assert.equal(await read(b), '');
    const other: Opened = { ...a, handle: untouched.handle };
    await assert.rejects(set(other, request('read', { owner: 2n })), { code: 'EAGAIN' });
    const lost = a.mount.logs.filter(({ message }) => message.includes('with it locks'));
    assert.equal(lost.length, 1);
  });

  it('that wait when the session is lost are asked for again', async () => {
    const { cluster, a, b } = await twoMounts();
    await set(a, request('write'));
    const waiting = set(b, request('write'), true);
    await turn();
    cluster.meta.expire(b.mount.meta);
    b.mount.meta.noticeSessionLost();
    await turn();
    await set(a, request('unlock'));
    await waiting;
    await assert.rejects(set(a, request('write')), { code: 'EAGAIN' });
  });
});
