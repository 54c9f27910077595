import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FsError } from '../../../src/base/errno.ts';
import { type Ino, ROOT_INO } from '../../../src/base/ids.ts';
import { VFS_STREAM_LOOKS_MAX, VFS_WRITE_BACK_DELAY_MS } from '../../../src/base/limits.ts';
import type { Op } from '../../../src/gen/ringfs/v1/namespace.ts';
import {
  bytes,
  Cluster,
  createFile,
  errnoOf,
  gate,
  O_APPEND,
  O_EXCL,
  O_RDONLY,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
  ROOT,
  readAll,
  readPath,
  SMALL,
  settle,
  text,
  USER,
} from '../../support/vfs-fixture.ts';

const KIB = 1024;

describe('small files', () => {
  it('travel inside their commit: two commits for create, write and close, and no block', async () => {
    const cluster = new Cluster();
    const { vfs, meta, blocks } = cluster.mount();
    const { ino, handle } = await createFile(vfs, 'f', O_WRONLY);
    await vfs.write(ino, handle, 0, bytes('hello'));
    await vfs.flush(ino, handle);
    await vfs.release(ino, handle);
    assert.deepEqual(
      meta.commits.map((ops) => ops.map((op) => op.body?.$case)),
      [['makeNode'], ['writeExtents']],
    );
    assert.equal(blocks.puts.length, 0);
    assert.equal(text(await readPath(cluster.mount().vfs, 'f')), 'hello');
  });

  it('stay one inline extent when written in pieces', async () => {
    const cluster = new Cluster();
    const { vfs, meta } = cluster.mount();
    const { ino, handle } = await createFile(vfs, 'f');
    for (let i = 0; i < 20; i++) {
      await vfs.write(ino, handle, i * 3, bytes('abc'));
      await vfs.fsync(ino, handle, false);
    }
    const { chunks } = await meta.getChunks(ino, 0, 1);
    assert.equal(chunks[0]!.extents.length, 1);
  });
});

describe('flush', () => {
  it('makes no round trip when nothing is dirty', async () => {
    const { vfs, meta } = new Cluster().mount();
    const { ino, handle } = await createFile(vfs, 'f');
    await vfs.write(ino, handle, 0, bytes('x'));
    await vfs.fsync(ino, handle, false);
    const before = meta.commits.length;
    await vfs.flush(ino, handle);
    await vfs.fsync(ino, handle, false);
    assert.equal(meta.commits.length, before);
  });

  it('packs scattered writes into one block and one commit', async () => {
    const cluster = new Cluster();
    const { vfs, meta, blocks } = cluster.mount();
    const { ino, handle } = await createFile(vfs, 'f');
    const page = new Uint8Array(4 * KIB).fill(7);
    for (let i = 0; i < 100; i++) await vfs.write(ino, handle, i * 40 * KIB, page);
    const before = meta.commits.length;
    await vfs.fsync(ino, handle, false);
    assert.equal(blocks.puts.length, 1);
    assert.equal(meta.commits.length, before + 1);
    const content = await readPath(cluster.mount().vfs, 'f');
    assert.equal(content.length, 99 * 40 * KIB + 4 * KIB);
    content.forEach((byte, i) => {
      if (byte !== (i % (40 * KIB) < 4 * KIB ? 7 : 0)) assert.fail(`byte ${i} is ${byte}`);
    });
  });

  it('starts storing a block as soon as it is full, a bounded number at a time', async () => {
    const { vfs, blocks } = new Cluster().mount({ ...SMALL, dirtyBytesMax: 1 << 20 });
    const { wait, open } = gate();
    blocks.hooks.beforePut = wait;
    const { ino, handle } = await createFile(vfs, 'f');
    await vfs.write(ino, handle, 0, new Uint8Array(64 * 10).fill(1));
    await settle();
    assert.equal(blocks.putsInFlight, 2);
    open();
    await vfs.fsync(ino, handle, false);
    assert.equal(blocks.putsInFlightMax, 2);
    assert.equal(blocks.puts.length, 10);
  });

  it('does not make readers wait', async () => {
    const { vfs, blocks } = new Cluster().mount(SMALL);
    const { ino, handle } = await createFile(vfs, 'f');
    await vfs.write(ino, handle, 0, new Uint8Array(100).fill(1));
    await vfs.fsync(ino, handle, false);
    const { wait, open } = gate();
    blocks.hooks.beforePut = wait;
    await vfs.write(ino, handle, 50, new Uint8Array(100).fill(2));
    const flushed = vfs.fsync(ino, handle, false);
    await settle();
    const got = await readAll(vfs, ino, handle);
    assert.deepEqual(got, new Uint8Array([...Array(50).fill(1), ...Array(100).fill(2)]));
    open();
    await flushed;
  });

  it('happens within a second without being asked for', async () => {
    const cluster = new Cluster();
    const { vfs, timers } = cluster.mount();
    const { ino, handle } = await createFile(vfs, 'f');
    await vfs.write(ino, handle, 0, bytes('soon durable'));
    timers.advance(1000);
    await settle();
    assert.equal(vfs.stats().dirtyBytes, 0);
    assert.equal(text(await readPath(cluster.mount().vfs, 'f')), 'soon durable');
  });

  it('does not cut the block of a streamed file by the clock, so that equal files have equal blocks', async () => {
    const cluster = new Cluster();
    const { vfs, timers, blocks } = cluster.mount();
    const { ino, handle } = await createFile(vfs, 'f');
    const quarter = new Uint8Array(1024 * KIB).fill(7);
    for (let i = 0; i < 5; i++) {
      await vfs.write(ino, handle, i * quarter.length, quarter);
      timers.advance(VFS_WRITE_BACK_DELAY_MS);
      await settle();
    }
    assert.equal(blocks.puts.length, 1, 'the full one');
    timers.advance(2 * VFS_WRITE_BACK_DELAY_MS);
    await settle();
    assert.equal(vfs.stats().dirtyBytes, 0, 'nobody goes on writing');
    assert.equal(blocks.puts.length, 2);
  });

  it('does not wait for the block of a stream for ever', async () => {
    const cluster = new Cluster();
    const { vfs, timers, blocks } = cluster.mount();
    const { ino, handle } = await createFile(vfs, 'f');
    const piece = new Uint8Array(256 * KIB).fill(7);
    for (let i = 0; i <= VFS_STREAM_LOOKS_MAX; i++) {
      assert.equal(blocks.puts.length, 0);
      await vfs.write(ino, handle, i * piece.length, piece);
      timers.advance(VFS_WRITE_BACK_DELAY_MS);
      await settle();
    }
    assert.equal(blocks.puts.length, 1);
    assert.equal(vfs.stats().dirtyBytes, 0);
  });

  it('can be interrupted while it waits, and goes on', async () => {
    const cluster = new Cluster();
    const { vfs, blocks } = cluster.mount(SMALL);
    const { ino, handle } = await createFile(vfs, 'f');
    await vfs.write(ino, handle, 0, new Uint8Array(50).fill(3));
    const { wait, open } = gate();
    blocks.hooks.beforePut = wait;
    const stop = new AbortController();
    const flushed = errnoOf(vfs.fsync(ino, handle, false, stop.signal));
    await settle();
    stop.abort();
    assert.equal(await flushed, 'EINTR');
    open();
    await vfs.fsync(ino, handle, false);
    assert.equal((await readPath(cluster.mount().vfs, 'f')).length, 50);
  });
});

describe('a failed flush', () => {
  it('is reported once on every handle and loses nothing', async () => {
    const cluster = new Cluster();
    const { vfs, blocks, timers, logs } = cluster.mount(SMALL);
    const { ino, handle } = await createFile(vfs, 'f');
    const second = (await vfs.open(ROOT, ino, O_RDWR)).handle;
    const data = new Uint8Array(300).map((_, i) => i);
    blocks.failNextPut(new FsError('ENOSPC'));
    await vfs.write(ino, handle, 0, data);
    timers.advance(1000);
    await settle();
    assert.ok(logs.some((l) => l.message === 'write-back failed' && l.fields['errno'] === 'ENOSPC'));
    assert.deepEqual(await readAll(vfs, ino, handle), data, 'still there');
    assert.equal(await errnoOf(vfs.fsync(ino, handle, false)), 'ENOSPC');
    assert.equal(await errnoOf(vfs.fsync(ino, handle, false)), undefined);
    assert.equal(await errnoOf(vfs.write(ino, second, 300, bytes('x'))), 'ENOSPC');
    assert.equal(await errnoOf(vfs.write(ino, second, 300, bytes('x'))), undefined);
    await vfs.flush(ino, second);
    const third = (await vfs.open(ROOT, ino, O_RDWR)).handle;
    assert.equal(await errnoOf(vfs.fsync(ino, third, false)), undefined, 'opened after it');
    assert.equal((await readPath(cluster.mount().vfs, 'f')).length, 301);
  });

  it('is tried again after the file was closed', async () => {
    const cluster = new Cluster();
    const { vfs, blocks, timers } = cluster.mount(SMALL);
    const { ino, handle } = await createFile(vfs, 'f');
    await vfs.write(ino, handle, 0, new Uint8Array(40).fill(9));
    blocks.failNextPut(new FsError('ETIMEDOUT'));
    assert.equal(await errnoOf(vfs.flush(ino, handle)), 'ETIMEDOUT');
    blocks.failNextPut(new FsError('ETIMEDOUT'));
    await vfs.release(ino, handle);
    assert.equal(vfs.stats().dirtyBytes, 40);
    for (let i = 0; i < 10; i++) {
      timers.advance(1000);
      await settle();
    }
    assert.equal(vfs.stats().dirtyBytes, 0);
    assert.equal(vfs.stats().openInodes, 0);
    assert.deepEqual(await readPath(cluster.mount().vfs, 'f'), new Uint8Array(40).fill(9));
  });

  it('of a closed file is given up after a bounded number of attempts, with a line in the log', async () => {
    const { vfs, blocks, timers, logs } = new Cluster().mount(SMALL);
    const { ino, handle } = await createFile(vfs, 'f');
    await vfs.write(ino, handle, 0, new Uint8Array(40).fill(9));
    blocks.hooks.beforePut = () => {
      throw new FsError('ENOSPC');
    };
    assert.equal(await errnoOf(vfs.flush(ino, handle)), 'ENOSPC');
    await vfs.release(ino, handle);
    for (let i = 0; i < 50; i++) {
      timers.advance(31_000);
      await settle();
    }
    assert.equal(vfs.stats().dirtyBytes, 0);
    assert.equal(vfs.stats().openInodes, 0);
    assert.ok(logs.some((l) => l.level === 'error' && l.message === 'unflushed data was lost'));
  });

  it('does not let later data of the same place be overwritten by a retry', async () => {
    const cluster = new Cluster();
    const { vfs, blocks } = cluster.mount(SMALL);
    const { ino, handle } = await createFile(vfs, 'f');
    await vfs.write(ino, handle, 0, new Uint8Array(128).fill(1));
    await settle();
    blocks.failNextPut(new FsError('ETIMEDOUT'));
    await vfs.write(ino, handle, 0, new Uint8Array(128).fill(2));
    await settle();
    await vfs.write(ino, handle, 0, new Uint8Array(128).fill(3));
    await errnoOf(vfs.fsync(ino, handle, false));
    await vfs.fsync(ino, handle, false);
    assert.deepEqual(await readPath(cluster.mount().vfs, 'f'), new Uint8Array(128).fill(3));
  });
});

describe('back pressure', () => {
  it('delays write until flushed data made room', async () => {
    const { vfs, blocks } = new Cluster().mount(SMALL);
    const { ino, handle } = await createFile(vfs, 'f');
    let puts = 0;
    blocks.hooks.beforePut = async () => {
      puts++;
      await settle();
    };
    for (let i = 0; i < 40; i++) {
      await vfs.write(ino, handle, i * 100, new Uint8Array(100).fill(i));
      assert.ok(vfs.stats().dirtyBytes <= 1024);
    }
    assert.ok(puts > 30);
    await vfs.flush(ino, handle);
    const content = await readAll(vfs, ino, handle);
    content.forEach((byte, i) => {
      if (byte !== Math.floor(i / 100)) assert.fail(`byte ${i} is ${byte}`);
    });
  });

  it('ends in the error when nothing can be flushed, and in EINTR for a signal', async () => {
    const { vfs, blocks } = new Cluster().mount(SMALL);
    const { ino, handle } = await createFile(vfs, 'f');
    blocks.hooks.beforePut = () => {
      throw new FsError('ENOSPC');
    };
    let failed: string | undefined;
    for (let i = 0; i < 20 && !failed; i++) {
      failed = await errnoOf(vfs.write(ino, handle, i * 100, new Uint8Array(100)));
    }
    assert.equal(failed, 'ENOSPC');
    blocks.hooks.beforePut = () => new Promise<void>(() => undefined);
    const stop = new AbortController();
    const stuck = (async () => {
      for (;;) {
        const errno = await errnoOf(vfs.write(ino, handle, 5000, new Uint8Array(900), stop.signal));
        if (errno && errno !== 'ENOSPC') return errno;
      }
    })();
    await settle();
    stop.abort();
    assert.equal(await stuck, 'EINTR');
  });
});

describe('O_APPEND', () => {
  it('loses and tears nothing when two mounts append at the same time', async () => {
    const cluster = new Cluster();
    const mounts = [cluster.mount(SMALL), cluster.mount(SMALL)];
    await createFile(mounts[0]!.vfs, 'log');
    const expected: string[] = [];
    await Promise.all(
      mounts.map(async ({ vfs, blocks, timers }, m) => {
        blocks.hooks.beforePut = () => new Promise((resolve) => setImmediate(resolve));
        const { ino } = await vfs.lookup(ROOT_INO, bytes('log'));
        const { handle } = await vfs.open(ROOT, ino as Ino, O_WRONLY | O_APPEND);
        for (let i = 0; i < 60; i++) {
          const line = `mount ${m} line ${i} ${'x'.repeat(i % 50)}\n`;
          expected.push(line);
          await vfs.write(ino as Ino, handle, 0, bytes(line));
          if (i % 7 === m) await vfs.fsync(ino as Ino, handle, false);
          if (i % 11 === 0) timers.advance(500);
        }
        await vfs.flush(ino as Ino, handle);
        await vfs.release(ino as Ino, handle);
      }),
    );
    const lines = text(await readPath(cluster.mount().vfs, 'log')).split(/(?<=\n)/);
    assert.deepEqual(lines.slice().sort(), expected.slice().sort());
    for (const m of [0, 1]) {
      const own = lines.filter((line) => line.startsWith(`mount ${m}`));
      assert.deepEqual(
        own,
        expected.filter((line) => line.startsWith(`mount ${m}`)),
      );
    }
  });

  it('shows pending appends behind what others have appended meanwhile', async () => {
    const cluster = new Cluster();
    const a = cluster.mount();
    const b = cluster.mount();
    const { ino, handle } = await createFile(a.vfs, 'log', O_RDWR | O_APPEND);
    await a.vfs.write(ino, handle, 0, bytes('one '));
    await b.vfs.lookup(ROOT_INO, bytes('log'));
    const other = await b.vfs.open(ROOT, ino, O_WRONLY | O_APPEND);
    await b.vfs.write(ino, other.handle, 0, bytes('two '));
    await b.vfs.fsync(ino, other.handle, false);
    assert.equal(text(await readAll(a.vfs, ino, handle)), 'two one ');
    await a.vfs.fsync(ino, handle, false);
    assert.equal(text(await readPath(b.vfs, 'log')), 'two one ');
    assert.ok(a.invalidations.some((i) => i.ino === ino && i.data));
  });

  for (const applied of [true, false]) {
    it(`happens once when its commit gets no answer and was ${applied ? '' : 'not '}applied`, async () => {
      for (const line of ['short ', 'long enough to need a block of its own ']) {
        const cluster = new Cluster();
        const { vfs, meta } = cluster.mount(SMALL);
        const { ino, handle } = await createFile(vfs, 'log', O_RDWR | O_APPEND);
        await vfs.write(ino, handle, 0, bytes('first '));
        await vfs.fsync(ino, handle, false);
        await vfs.write(ino, handle, 0, bytes(line));
        if (applied) {
          let once = true;
          cluster.meta.hooks.afterCommit = () => {
            if (!once) return;
            once = false;
            throw new FsError('ETIMEDOUT');
          };
        } else {
          meta.failNextCommit(new FsError('ETIMEDOUT'));
        }
        assert.equal(await errnoOf(vfs.fsync(ino, handle, false)), 'ETIMEDOUT');
        await vfs.write(ino, handle, 0, bytes('last'));
        await vfs.fsync(ino, handle, false);
        assert.equal(text(await readAll(vfs, ino, handle)), `first ${line}last`);
        assert.equal(text(await readPath(cluster.mount().vfs, 'log')), `first ${line}last`);
      }
    });
  }

  it('happens once when its commit is applied late, after it was looked for', async () => {
    const cluster = new Cluster();
    const { vfs, meta } = cluster.mount();
    const { ino, handle } = await createFile(vfs, 'log', O_RDWR | O_APPEND);
    await vfs.write(ino, handle, 0, bytes('line '));
    let lost: readonly Op[] | undefined;
    cluster.meta.hooks.beforeCommit = async (client, ops) => {
      if (client !== meta) return;
      if (lost === undefined) {
        lost = ops;
        throw new FsError('ETIMEDOUT');
      }
      cluster.meta.hooks.beforeCommit = () => undefined;
      await cluster.meta.client().commit(lost);
    };
    assert.equal(await errnoOf(vfs.fsync(ino, handle, false)), 'ETIMEDOUT');
    await vfs.fsync(ino, handle, false);
    assert.equal(text(await readPath(cluster.mount().vfs, 'log')), 'line ');
  });

  it('never shows appended bytes twice while their commit is being answered', async () => {
    const cluster = new Cluster();
    const { vfs } = cluster.mount();
    const { ino, handle } = await createFile(vfs, 'log', O_RDWR | O_APPEND);
    await vfs.write(ino, handle, 0, bytes('12345'));
    let seen: Promise<number> | undefined;
    cluster.meta.hooks.afterCommit = async () => {
      seen ??= vfs.getattr(ino).then((attr) => attr.size);
      await settle();
    };
    await vfs.fsync(ino, handle, false);
    assert.equal(await seen, 5);
    assert.equal(text(await readAll(vfs, ino, handle)), '12345');
  });
});

describe('attributes', () => {
  it('keep an mtime that was set after writing', async () => {
    const cluster = new Cluster();
    const { vfs, meta } = cluster.mount(SMALL);
    for (const size of [10, 500]) {
      const { ino, handle } = await createFile(vfs, `f${size}`);
      await vfs.write(ino, handle, 0, new Uint8Array(size));
      const before = meta.commits.length;
      const attr = await vfs.setattr(ROOT, ino, { mtime: { sec: 1000, nsec: 123_456_789 } }, handle);
      assert.deepEqual([attr.mtimeSec, attr.mtimeNsec], [1000, 123_456_789]);
      if (size === 10) assert.equal(meta.commits.length, before + 1, 'data and time in one commit');
      await vfs.flush(ino, handle);
      await vfs.release(ino, handle);
      const after = await cluster.mount().vfs.getattr(ino);
      assert.deepEqual([after.mtimeSec, after.mtimeNsec], [1000, 123_456_789]);
    }
  });

  it('show size and time of writes at once, on every handle', async () => {
    const { vfs } = new Cluster().mount();
    const { ino, handle, attr } = await createFile(vfs, 'f');
    await vfs.write(ino, handle, 10, bytes('x'));
    const now = await vfs.getattr(ino);
    assert.equal(now.size, 11);
    assert.ok(now.mtimeSec * 1e9 + now.mtimeNsec > attr.mtimeSec * 1e9 + attr.mtimeNsec);
    const found = await vfs.lookup(ROOT_INO, bytes('f'));
    assert.equal(found.size, 11);
    const directory = await vfs.opendir(ROOT_INO);
    const entries = await vfs.readdir(ROOT_INO, directory, 0, 10, true);
    assert.equal(entries.at(-1)!.attr!.size, 11);
  });

  it('lose setuid and setgid through a write by others than root, and through chown', async () => {
    const { vfs } = new Cluster().mount();
    const { ino } = await createFile(vfs, 'f');
    await vfs.setattr(ROOT, ino, { mode: 0o6755 });
    const root = await vfs.open(ROOT, ino, O_WRONLY);
    await vfs.write(ino, root.handle, 0, bytes('x'));
    await vfs.flush(ino, root.handle);
    assert.equal((await vfs.getattr(ino)).mode & 0o7777, 0o6755);
    const user = await vfs.open(USER, ino, O_WRONLY);
    await vfs.write(ino, user.handle, 0, bytes('x'));
    assert.equal((await vfs.getattr(ino)).mode & 0o7777, 0o755);
    await vfs.setattr(ROOT, ino, { mode: 0o4755 });
    await vfs.flush(ino, user.handle);
    assert.equal((await vfs.getattr(ino)).mode & 0o7777, 0o4755, 'the mode was set after the write');
    await vfs.setattr(ROOT, ino, { uid: 5 });
    assert.equal((await vfs.getattr(ino)).mode & 0o7777, 0o755);
  });

  it('chown leaves the bits of directories alone', async () => {
    const { vfs } = new Cluster().mount();
    const { ino } = await vfs.mkdir(ROOT, ROOT_INO, bytes('d'), 0o2755);
    const attr = await vfs.setattr(ROOT, ino as Ino, { gid: 9 });
    assert.equal(attr.mode & 0o7777, 0o2755);
  });
});

describe('open', () => {
  it('keeps the kernel cache until someone else changes the data', async () => {
    const cluster = new Cluster();
    const a = cluster.mount();
    const b = cluster.mount();
    const { ino, handle } = await createFile(a.vfs, 'f');
    await a.vfs.write(ino, handle, 0, bytes('mine'));
    await a.vfs.flush(ino, handle);
    assert.equal((await a.vfs.open(ROOT, ino, O_RDONLY)).keepCache, true);
    assert.equal((await b.vfs.open(ROOT, ino, O_RDONLY)).keepCache, false);
    assert.equal((await b.vfs.open(ROOT, ino, O_RDONLY)).keepCache, true);
    await b.vfs.setattr(ROOT, ino, { mode: 0o600 });
    assert.deepEqual(a.invalidations, [{ ino, data: false }]);
    assert.equal((await a.vfs.open(ROOT, ino, O_RDONLY)).keepCache, true);
    await b.vfs.setattr(ROOT, ino, { size: 2 });
    assert.deepEqual(a.invalidations.at(-1), { ino, data: true });
    assert.equal((await a.vfs.open(ROOT, ino, O_RDONLY)).keepCache, false);
    assert.equal(text(await readPath(a.vfs, 'f')), 'mi');
    a.meta.loseLease();
    assert.ok(a.invalidations.length >= 3);
    assert.equal((await a.vfs.open(ROOT, ino, O_RDONLY)).keepCache, false);
    // Who has it open reads on between two losses, and gets new pages into the kernel.
    for (let i = 0; i < 3; i++) {
      const before = a.invalidations.length;
      a.meta.loseLease();
      assert.ok(
        a.invalidations.slice(before).some((one) => one.ino === ino && one.data),
        `loss ${i}`,
      );
    }
  });

  it('truncates with O_TRUNC, also what is not flushed, without storing it', async () => {
    const { vfs, blocks } = new Cluster().mount(SMALL);
    const { ino, handle } = await createFile(vfs, 'f');
    await vfs.write(ino, handle, 0, new Uint8Array(50).fill(1));
    await vfs.open(ROOT, ino, O_WRONLY | O_TRUNC);
    assert.equal((await vfs.getattr(ino)).size, 0);
    assert.equal(blocks.puts.length, 0);
    assert.equal(vfs.stats().dirtyBytes, 0);
  });

  it('through create leaves what exists alone, with EEXIST for the front end to judge', async () => {
    const { vfs } = new Cluster().mount();
    const { ino, handle } = await createFile(vfs, 'f');
    await vfs.write(ino, handle, 0, bytes('old'));
    await vfs.flush(ino, handle);
    for (const flags of [O_RDWR, O_RDWR | O_EXCL, O_RDWR | O_TRUNC]) {
      assert.equal(await errnoOf(createFile(vfs, 'f', flags)), 'EEXIST');
    }
    assert.equal((await vfs.getattr(ino)).size, 3);
  });

  it('refuses directories and unknown handles', async () => {
    const { vfs } = new Cluster().mount();
    assert.equal(await errnoOf(vfs.open(ROOT, ROOT_INO, O_RDONLY)), 'EISDIR');
    assert.equal(await errnoOf(vfs.read(ROOT_INO, 77, 0, 1)), 'EBADF');
    assert.equal(await errnoOf(vfs.open(ROOT, 999 as Ino, O_RDONLY)), 'ESTALE');
  });
});

describe('unlinked files', () => {
  it('work until the last close, and are reaped then', async () => {
    const cluster = new Cluster();
    const { vfs, blocks } = cluster.mount(SMALL);
    const other = cluster.mount(SMALL);
    const { ino, handle } = await createFile(vfs, 'f');
    await vfs.write(ino, handle, 0, new Uint8Array(100).fill(1));
    await vfs.fsync(ino, handle, false);
    await other.vfs.unlink(ROOT_INO, bytes('f'));
    await vfs.write(ino, handle, 100, new Uint8Array(50).fill(2));
    assert.equal(await cluster.meta.reapOrphans(), 0);
    assert.equal((await readAll(vfs, ino, handle)).length, 150);
    assert.equal((await vfs.getattr(ino)).nlink, 0);
    const puts = blocks.puts.length;
    await vfs.flush(ino, handle);
    await vfs.release(ino, handle);
    assert.ok(blocks.puts.length - puts <= 1, 'what nobody can read is not stored');
    assert.equal(vfs.stats().dirtyBytes, 0);
    assert.equal(await cluster.meta.reapOrphans(), 1);
    assert.equal(await errnoOf(vfs.getattr(ino)), 'ESTALE');
  });
});

describe('names', () => {
  it('are checked', async () => {
    const { vfs } = new Cluster().mount();
    const long = new Uint8Array(256).fill(97);
    assert.equal(await errnoOf(vfs.mkdir(ROOT, ROOT_INO, long, 0o755)), 'ENAMETOOLONG');
    assert.equal(await errnoOf(vfs.lookup(ROOT_INO, long)), 'ENAMETOOLONG');
    assert.equal(await errnoOf(vfs.lookup(ROOT_INO, bytes('none'))), 'ENOENT');
    assert.equal(await errnoOf(vfs.unlink(ROOT_INO, bytes('a/b'))), 'EINVAL');
    assert.equal(
      await errnoOf(vfs.symlink(ROOT, ROOT_INO, bytes('s'), new Uint8Array(4096).fill(97))),
      'ENAMETOOLONG',
    );
  });
});

describe('write-back of mapped pages', () => {
  it('goes to its offset through a handle for appending, and what is written stays appended', async () => {
    const cluster = new Cluster();
    const { vfs } = cluster.mount();
    const { ino, handle } = await createFile(vfs, 'f', O_RDWR | O_APPEND);
    await vfs.write(ino, handle, 0, bytes('0123456789'));
    await vfs.write(ino, handle, 2, bytes('ab'), undefined, { fromPageCache: true });
    await vfs.write(ino, handle, 0, bytes('!'));
    await vfs.flush(ino, handle);
    assert.equal(text(await readPath(cluster.mount().vfs, 'f')), '01ab456789!');
  });

  it('is taken also after a failure, which the next flush reports', async () => {
    const cluster = new Cluster();
    const { vfs, meta } = cluster.mount();
    const { ino, handle } = await createFile(vfs, 'f');
    const second = (await vfs.open(ROOT, ino, O_RDWR)).handle;
    await vfs.write(ino, handle, 0, bytes('0123'));
    meta.failNextCommit(new FsError('ENOSPC'));
    assert.equal(await errnoOf(vfs.fsync(ino, handle, false)), 'ENOSPC');
    await vfs.write(ino, second, 4, bytes('4567'), undefined, { fromPageCache: true });
    assert.equal(await errnoOf(vfs.fsync(ino, second, false)), 'ENOSPC');
    await vfs.fsync(ino, second, false);
    assert.equal(text(await readPath(cluster.mount().vfs, 'f')).slice(4), '4567');
  });
});

describe('close', () => {
  it('flushes everything', async () => {
    const cluster = new Cluster();
    const { vfs } = cluster.mount(SMALL);
    for (const name of ['a', 'b', 'c']) {
      const { ino, handle } = await createFile(vfs, name);
      await vfs.write(ino, handle, 0, new Uint8Array(70).fill(4));
    }
    await vfs.close();
    const other = cluster.mount().vfs;
    for (const name of ['a', 'b', 'c']) assert.equal((await readPath(other, name)).length, 70);
    assert.equal(await errnoOf(vfs.lookup(ROOT_INO, bytes('a'))), 'EIO');
  });

  it('ends within its timeout and says what is lost', async () => {
    const { vfs, blocks, timers, logs } = new Cluster().mount(SMALL);
    blocks.hooks.beforePut = () => new Promise<void>(() => undefined);
    const { ino, handle } = await createFile(vfs, 'f');
    await vfs.write(ino, handle, 0, new Uint8Array(70));
    const closed = vfs.close();
    await settle();
    timers.advance(30_000);
    await closed;
    assert.ok(logs.some((l) => l.message === 'unflushed data was lost' && l.fields['bytes'] === 70));
  });
});

describe('statistics and log', () => {
  it('count operations and failures', async () => {
    const { vfs, logs } = new Cluster().mount();
    await errnoOf(vfs.lookup(ROOT_INO, bytes('none')));
    await vfs.getattr(ROOT_INO);
    const outcomes = vfs.stats().operations.map((operation) => [operation.kind, operation.outcomes]);
    assert.deepEqual(outcomes, [
      ['lookup', { ENOENT: 1 }],
      ['getattr', { ok: 1 }],
    ]);
    assert.deepEqual(
      logs.map((l) => [l.level, l.fields['op'], l.fields['errno']]),
      [['debug', 'lookup', 'ENOENT']],
    );
    const { totalBytes, nameBytesMax } = await vfs.statfs();
    assert.ok(totalBytes > 0);
    assert.equal(nameBytesMax, 255);
  });
});
