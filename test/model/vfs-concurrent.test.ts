import assert from 'node:assert/strict';
import { it } from 'node:test';
import { concatBytes } from '../../src/base/bytes.ts';
import { FsError } from '../../src/base/errno.ts';
import type { Ino } from '../../src/base/ids.ts';
import { type Random, seededRandom } from '../../src/base/random.ts';
import {
  Cluster,
  createFile,
  type Mount,
  O_APPEND,
  O_RDWR,
  ROOT,
  readAll,
  SMALL,
  text,
} from '../support/vfs-fixture.ts';

/** Several users of two mounts work on one file at the same time, each in a place of its own, over services that answer late. */

const REGION = 150;
const WORKERS = 4;
const ROUNDS = 40;

async function delay(random: Random): Promise<void> {
  for (let n = random.below(4); n > 0; n--) await new Promise((resolve) => setImmediate(resolve));
}

/** Every answer of the services comes a random time later; now and then a put or a commit fails. */
function slowDown(cluster: Cluster, mounts: readonly Mount[], random: Random, failures: boolean): void {
  cluster.meta.hooks.beforeCommit = async () => {
    await delay(random);
    if (failures && random.below(20) === 0) throw new FsError('ETIMEDOUT');
  };
  cluster.meta.hooks.afterCommit = async () => {
    await delay(random);
    if (failures && random.below(20) === 0) throw new FsError('ETIMEDOUT');
  };
  for (const { meta, blocks } of mounts) {
    blocks.hooks.beforePut = async () => {
      await delay(random);
      if (failures && random.below(20) === 0) throw new FsError('ENOSPC');
    };
    blocks.hooks.beforeGet = () => delay(random);
    const getattr = meta.getattr.bind(meta);
    meta.getattr = async (...args) => {
      const answer = await getattr(...args);
      await delay(random);
      return answer;
    };
    const getChunks = meta.getChunks.bind(meta);
    meta.getChunks = async (...args) => {
      const answer = await getChunks(...args);
      await delay(random);
      return answer;
    };
  }
}

async function insist<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      const known = error instanceof FsError && (error.code === 'ENOSPC' || error.code === 'ETIMEDOUT');
      if (!known || attempt > 50) throw error;
    }
  }
}

async function worker(
  { vfs, timers }: Mount,
  ino: Ino,
  index: number,
  random: Random,
  oracle: Uint8Array,
): Promise<void> {
  const { handle } = await vfs.open(ROOT, ino, O_RDWR);
  // Interleaved in lines of 10 bytes, so that everybody's bytes share blocks and windows.
  const place = (line: number): number => (line * WORKERS * 2 + index) * 10;
  for (let round = 0; round < ROUNDS; round++) {
    const line = random.below(REGION / 10);
    const at = place(line);
    const data = random.bytes(1 + random.below(10));
    await insist(() => vfs.write(ino, handle, at, data));
    oracle.set(data, at);
    await delay(random);
    if (random.below(6) === 0) await insist(() => vfs.fsync(ino, handle, false));
    if (random.below(6) === 0) timers.advance(40_000);
    const check = place(random.below(REGION / 10));
    const got = concatBytes(await vfs.read(ino, handle, check, 10));
    assert.deepEqual(
      got,
      oracle.slice(check, check + got.length),
      `worker ${index} round ${round} at ${check}`,
    );
    assert.ok((await vfs.getattr(ino, handle)).size >= at + data.length);
  }
  await insist(() => vfs.flush(ino, handle));
  await vfs.release(ino, handle);
}

async function run(seed: number, failures: boolean): Promise<void> {
  const random = seededRandom(seed);
  const cluster = new Cluster();
  const mounts = [cluster.mount(SMALL), cluster.mount(SMALL)];
  const { ino, handle } = await createFile(mounts[0]!.vfs, 'f');
  await mounts[0]!.vfs.release(ino, handle);
  slowDown(cluster, mounts, random, failures);
  const oracle = new Uint8Array(WORKERS * 2 * REGION);
  const work: Promise<void>[] = [];
  for (let i = 0; i < WORKERS * 2; i++) work.push(worker(mounts[i % 2]!, ino, i, random, oracle));
  await Promise.all(work);
  cluster.meta.hooks.beforeCommit = () => undefined;
  cluster.meta.hooks.afterCommit = () => undefined;
  for (const { vfs, blocks } of mounts) {
    blocks.hooks.beforePut = () => undefined;
    await vfs.quiesce();
    assert.equal(vfs.stats().dirtyBytes, 0);
  }
  const { vfs } = cluster.mount(SMALL);
  const opened = await vfs.open(ROOT, ino, O_RDWR);
  const content = await readAll(vfs, ino, opened.handle);
  assert.deepEqual(content, oracle.slice(0, content.length));
  assert.ok(oracle.slice(content.length).every((byte) => byte === 0));
}

it('concurrent writers in separate places never see or cause a wrong byte', async () => {
  for (let seed = 1; seed <= 4; seed++) await run(seed, false);
});

it('the same with puts and commits that fail', async () => {
  for (let seed = 100; seed <= 104; seed++) await run(seed, true);
});

it('concurrent appends through late and failing services happen exactly once, each in one piece', async () => {
  for (let seed = 200; seed < 212; seed++) {
    const random = seededRandom(seed);
    const cluster = new Cluster();
    const mounts = [cluster.mount(SMALL), cluster.mount(SMALL)];
    const { ino, handle } = await createFile(mounts[0]!.vfs, 'log');
    await mounts[0]!.vfs.release(ino, handle);
    slowDown(cluster, mounts, random, true);
    const expected: string[] = [];
    await Promise.all(
      [0, 1, 2, 3].map(async (w) => {
        const { vfs, timers } = mounts[w % 2]!;
        const log = (await insist(() => vfs.open(ROOT, ino, O_RDWR | O_APPEND))).handle;
        for (let i = 0; i < 30; i++) {
          const line = `${w}:${i}:${'x'.repeat(random.below(60))}\n`;
          expected.push(line);
          await insist(() => vfs.write(ino, log, 0, new TextEncoder().encode(line)));
          if (random.below(4) === 0) await insist(() => vfs.fsync(ino, log, false));
          if (random.below(4) === 0) timers.advance(40_000);
        }
        await insist(() => vfs.flush(ino, log));
        await vfs.release(ino, log);
      }),
    );
    const { vfs } = cluster.mount(SMALL);
    cluster.meta.hooks.beforeCommit = () => undefined;
    const opened = await vfs.open(ROOT, ino, 0);
    const lines = text(await readAll(vfs, ino, opened.handle)).split(/(?<=\n)/);
    assert.deepEqual(lines.slice().sort(), expected.slice().sort(), `seed ${seed}`);
  }
});
