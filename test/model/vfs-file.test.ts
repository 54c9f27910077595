import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { concatBytes } from '../../src/base/bytes.ts';
import { FsError } from '../../src/base/errno.ts';
import type { Ino } from '../../src/base/ids.ts';
import { seededRandom } from '../../src/base/random.ts';
import {
  Cluster,
  createFile,
  errnoOf,
  type Mount,
  O_RDWR,
  O_TRUNC,
  ROOT,
  SMALL,
  settle,
} from '../support/vfs-fixture.ts';

/** One file under random reads, writes and truncates (as fsx does it), with background flushes and failing blocks. */

const SPACE = 700;
const offset = fc.nat(SPACE);
const length = fc.oneof(fc.nat(20), fc.nat(300));

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ op: fc.constant('write' as const), offset, length }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('append' as const), length }) },
  { weight: 5, arbitrary: fc.record({ op: fc.constant('read' as const), offset, length }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('truncate' as const), size: fc.nat(SPACE) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('truncate' as const), size: fc.constant(0) }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('fsync' as const) }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('tick' as const), settle: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('reopen' as const), truncate: fc.boolean() }) },
  {
    weight: 1,
    arbitrary: fc.record({
      op: fc.constant('failPut' as const),
      errno: fc.constantFrom('ENOSPC' as const, 'ETIMEDOUT' as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('failCommit' as const) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('loseLease' as const) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('utimes' as const), sec: fc.nat(1000) }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

class FileRun {
  readonly cluster = new Cluster();
  readonly mount: Mount;
  readonly other: Mount;
  content = new Uint8Array(0);
  ino = 0 as Ino;
  handle = 0;
  #byte = 0;
  /** Set by utimes; undefined after any later change of content. */
  mtimeSec: number | undefined;

  constructor() {
    this.mount = this.cluster.mount(SMALL);
    this.other = this.cluster.mount(SMALL);
    // Answers arrive later than in the same turn, so that operations overlap.
    this.mount.blocks.hooks.beforePut = () => new Promise((resolve) => setImmediate(resolve));
  }

  async start(): Promise<void> {
    const { ino, handle } = await createFile(this.mount.vfs, 'f');
    this.ino = ino;
    this.handle = handle;
  }

  /** Again until the injected failures are used up: nothing may be lost by them. */
  async insist<T>(work: () => Promise<T>): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await work();
      } catch (error) {
        const known = error instanceof FsError && (error.code === 'ENOSPC' || error.code === 'ETIMEDOUT');
        if (!known || attempt > 20) throw error;
      }
    }
  }

  #resize(size: number): void {
    const next = new Uint8Array(size);
    next.set(this.content.subarray(0, size));
    this.content = next;
  }

  #put(at: number, data: Uint8Array): void {
    if (at + data.length > this.content.length) this.#resize(at + data.length);
    this.content.set(data, at);
    this.mtimeSec = undefined;
  }

  #data(size: number): Uint8Array {
    return Uint8Array.from({ length: size }, () => (this.#byte = (this.#byte % 250) + 1));
  }

  async step(s: Step): Promise<void> {
    const { vfs, timers, blocks, meta } = this.mount;
    const { ino } = this;
    switch (s.op) {
      case 'write':
      case 'append': {
        const data = this.#data(s.length);
        const at = s.op === 'write' ? s.offset : this.content.length;
        assert.equal(await this.insist(() => vfs.write(ino, this.handle, at, data)), data.length);
        if (data.length > 0) this.#put(at, data);
        break;
      }
      case 'read': {
        const got = concatBytes(await vfs.read(ino, this.handle, s.offset, s.length));
        assert.deepEqual(got, this.content.slice(s.offset, s.offset + s.length));
        break;
      }
      case 'truncate':
        await this.insist(() => vfs.setattr(ROOT, ino, { size: s.size }, this.handle));
        this.#resize(s.size);
        this.mtimeSec = undefined;
        break;
      case 'fsync':
        await this.insist(() => vfs.fsync(ino, this.handle, false));
        break;
      case 'tick':
        timers.advance(40_000);
        if (s.settle) await settle();
        break;
      case 'reopen': {
        await this.insist(() => vfs.flush(ino, this.handle));
        await vfs.release(ino, this.handle);
        const flags = s.truncate ? O_RDWR | O_TRUNC : O_RDWR;
        this.handle = (await this.insist(() => vfs.open(ROOT, ino, flags))).handle;
        if (s.truncate) {
          this.mtimeSec = undefined;
          this.#resize(0);
        }
        break;
      }
      case 'failPut':
        blocks.failNextPut(new FsError(s.errno));
        break;
      case 'failCommit':
        meta.failNextCommit(new FsError('ETIMEDOUT'));
        break;
      case 'loseLease':
        meta.loseLease();
        break;
      case 'utimes':
        await this.insist(() => vfs.setattr(ROOT, ino, { mtime: { sec: s.sec, nsec: 7 } }));
        this.mtimeSec = s.sec;
        break;
    }
  }

  async check(): Promise<void> {
    const { vfs } = this.mount;
    const attr = await vfs.getattr(this.ino, this.handle);
    assert.equal(attr.size, this.content.length);
    if (this.mtimeSec !== undefined) assert.equal(attr.mtimeSec, this.mtimeSec);
  }

  async finish(): Promise<void> {
    const { vfs } = this.mount;
    const got = concatBytes(await vfs.read(this.ino, this.handle, 0, SPACE * 4));
    assert.deepEqual(got, this.content);
    await this.insist(() => vfs.flush(this.ino, this.handle));
    await vfs.release(this.ino, this.handle);
    assert.equal(vfs.stats().dirtyBytes, 0);
    assert.equal(vfs.stats().openInodes, 0);
    await vfs.quiesce();
    // Another mount sees all of it, and a given mtime survived the flushes.
    const { handle } = await this.other.vfs.open(ROOT, this.ino, 0);
    assert.deepEqual(concatBytes(await this.other.vfs.read(this.ino, handle, 0, SPACE * 4)), this.content);
    const attr = await this.other.vfs.getattr(this.ino);
    assert.equal(attr.size, this.content.length);
    if (this.mtimeSec !== undefined) assert.equal(attr.mtimeSec, this.mtimeSec);
    await vfs.close();
  }
}

it('one file under random reads, writes, truncates and failures', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), async (steps) => {
      const run = new FileRun();
      await run.start();
      for (const s of steps) {
        await run.step(s);
        await run.check();
      }
      await run.finish();
    }),
    { numRuns: 400, seed: 20_260_728 },
  );
});

it('long sessions on one file, over chunk boundaries', async () => {
  const random = seededRandom(7);
  const chunk = 64 * 1024 * 1024;
  const cluster = new Cluster();
  const { vfs, timers } = cluster.mount(SMALL);
  const { ino, handle } = await createFile(vfs, 'big');
  const base = chunk - 200;
  const oracle = new Uint8Array(400);
  for (let i = 0; i < 400; i++) {
    const at = random.below(399);
    const data = random.bytes(1 + random.below(Math.min(80, 400 - at)));
    await vfs.write(ino, handle, base + at, data);
    oracle.set(data, at);
    if (random.below(10) === 0) await vfs.fsync(ino, handle, false);
    if (random.below(10) === 0) timers.advance(500);
    const from = random.below(400);
    const got = concatBytes(await vfs.read(ino, handle, base + from, 100));
    const { size } = await vfs.getattr(ino);
    assert.deepEqual(got, oracle.slice(from, Math.min(from + 100, size - base)));
  }
  await vfs.flush(ino, handle);
  assert.equal(await errnoOf(vfs.setattr(ROOT, ino, { size: 2 ** 51 })), 'EFBIG');
  await vfs.release(ino, handle);
  await vfs.quiesce();
});
