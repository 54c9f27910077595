import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  REPAIR_BYTES_PER_SECOND_BUSY,
  REPAIR_BYTES_PER_SECOND_MAX,
  REPAIR_GIVES_WAY_MS,
} from '../../../src/base/limits.ts';
import { Pace } from '../../../src/block/pace.ts';
import { BlockCluster } from '../../support/block-cluster.ts';
import { testBlocks } from '../../support/test-blocks.ts';
import { VirtualTimers } from '../../support/virtual-timers.ts';

const MIB = 1024 * 1024;

/** Milliseconds until 64 MiB in pieces of 4 MiB have gone. */
async function take64(timers: VirtualTimers, pace: Pace): Promise<number> {
  const start = timers.nowMs();
  const { signal } = new AbortController();
  for (let i = 0; i < 16; i++) await timers.resolve(pace.take(4 * MIB, signal));
  return timers.nowMs() - start;
}

describe('pace of repair', () => {
  it('is bounded, and lower while clients are served', async () => {
    const timers = new VirtualTimers();
    const pace = new Pace({ timers });
    assert.equal(pace.bytesPerSecond, REPAIR_BYTES_PER_SECOND_MAX);
    // The first piece goes at once, so one less is waited for.
    assert.equal(await take64(timers, pace), (60 * MIB * 1000) / REPAIR_BYTES_PER_SECOND_MAX);
    await timers.advance(1000);
    pace.clientServed();
    assert.equal(pace.bytesPerSecond, REPAIR_BYTES_PER_SECOND_BUSY);
    const abort = new AbortController();
    const both = [pace.take(4 * MIB, abort.signal), pace.take(1, abort.signal)];
    const before = timers.nowMs();
    await timers.resolve(Promise.all(both));
    assert.equal(timers.nowMs() - before, (4 * MIB * 1000) / REPAIR_BYTES_PER_SECOND_BUSY);
    await timers.advance(REPAIR_GIVES_WAY_MS);
    assert.equal(pace.bytesPerSecond, REPAIR_BYTES_PER_SECOND_MAX);
  });

  it('time that was not used is not made up for', async () => {
    const timers = new VirtualTimers();
    const pace = new Pace({ timers });
    await timers.advance(60_000);
    assert.equal(await take64(timers, pace), (60 * MIB * 1000) / REPAIR_BYTES_PER_SECOND_MAX);
  });

  it('a wait ends when repair does', async () => {
    const timers = new VirtualTimers();
    const pace = new Pace({ timers });
    const abort = new AbortController();
    await pace.take(64 * MIB, abort.signal);
    const waiting = assert.rejects(pace.take(1, abort.signal), /stopping/);
    abort.abort(new Error('stopping'));
    await waiting;
  });

  it('a put or get of a client slows a node down, other nodes asking do not', async () => {
    const cluster = new BlockCluster();
    cluster.start('a', 'b', 'c');
    await cluster.untilRing(['a', 'b', 'c']);
    const [block] = testBlocks(1);
    const rate = async (name: string): Promise<number | undefined> =>
      (await cluster.timers.resolve(cluster.node(name).server.info())).repair?.bytesPerSecondMax;
    await cluster.put('a', block!);
    assert.equal(await rate('a'), REPAIR_BYTES_PER_SECOND_BUSY);
    assert.equal(await rate('b'), REPAIR_BYTES_PER_SECOND_MAX);
    await cluster.get('b', block!);
    assert.equal(await rate('b'), REPAIR_BYTES_PER_SECOND_BUSY);
    await cluster.timers.advance(REPAIR_GIVES_WAY_MS);
    assert.equal(await rate('a'), REPAIR_BYTES_PER_SECOND_MAX);
    await cluster.stop();
  });
});
