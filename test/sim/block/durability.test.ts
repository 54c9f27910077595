import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { seededRandom } from '../../../src/base/random.ts';
import { BlockCluster } from '../../support/block-cluster.ts';
import { blockIdOf, type TestBlock, testBlock } from '../../support/test-blocks.ts';

const NAMES = ['a', 'b', 'c', 'd', 'e'];

/** As a client does: ask the owners one after the other. */
async function put(cluster: BlockCluster, alive: readonly string[], block: TestBlock): Promise<boolean> {
  for (const name of alive) {
    const reply = await cluster.put(name, block).catch(() => undefined);
    if (reply?.$case === 'put') return true;
  }
  return false;
}

/** Nodes die, come back, are cut off and lose bits, one at a time, while blocks are put. */
async function run(seed: number): Promise<string> {
  const random = seededRandom(seed);
  const cluster = new BlockCluster({ seed, latencyMs: () => 1 + random.below(10) });
  cluster.start(...NAMES);
  await cluster.untilRing(NAMES);
  const stored: TestBlock[] = [];
  const trace: string[] = [];
  let blocks = seed * 1000;
  const putSome = async (alive: readonly string[]): Promise<void> => {
    for (let i = 0; i < 5; i++) {
      const block = testBlock(++blocks, 100 + random.below(400));
      const ok = await put(cluster, alive, block);
      trace.push(`${cluster.timers.nowMs()} put ${ok}`);
      if (ok) stored.push(block);
      await cluster.timers.advance(random.below(1500));
    }
  };
  for (let step = 0; step < 4; step++) {
    await putSome(NAMES);
    const victim = NAMES[random.below(NAMES.length)]!;
    const others = NAMES.filter((name) => name !== victim);
    const kind = random.below(3);
    trace.push(`${cluster.timers.nowMs()} ${['kill', 'cut', 'rot'][kind]} ${victim}`);
    if (kind === 0) {
      await cluster.kill(victim);
      await putSome(others);
      cluster.start(victim);
    } else if (kind === 1) {
      cluster.network.partition([`${victim}:1`], [...others.map((n) => `${n}:1`), 'client']);
      await putSome(others);
      cluster.network.heal();
    } else {
      for (const id of cluster.node(victim).store.blocks.keys()) {
        if (random.next() < 0.3) cluster.node(victim).store.corrupt(id);
      }
      // A reader finds the bad copies and puts the blocks again where they are.
      for (const block of stored) {
        const got = await cluster.get(victim, block);
        if (got.$case === 'get' && blockIdOf(got.value.data) !== block.id)
          await cluster.put(victim, block, false);
      }
    }
    await cluster.untilRing(NAMES, 60_000);
    await cluster.timers.advance(5000);
  }
  await cluster.timers.advance(130_000);
  assert.ok(stored.length >= 20, `seed ${seed}: only ${stored.length} puts succeeded`);
  for (const block of stored) {
    const owners = await cluster.owners('a', block);
    assert.equal(owners.length, 3);
    for (const owner of owners) {
      const copy = cluster.node(owner).store.blocks.get(block.id);
      assert.ok(
        copy !== undefined && blockIdOf(copy) === block.id,
        `seed ${seed}: ${owner} lacks a good copy`,
      );
    }
  }
  for (const name of NAMES) {
    const info = await cluster.timers.resolve(cluster.node(name).server.info());
    assert.equal(info.underReplicated, 0, `seed ${seed}: ${name} is still missing copies`);
    trace.push(`${name} ${info.blocks} ${info.repaired}`);
  }
  await cluster.stop();
  return trace.join('\n');
}

describe('block ring simulation', () => {
  it('keeps every acknowledged block on all its owners, whatever happens to one node at a time', async () => {
    for (let seed = 1; seed <= 4; seed++) await run(seed);
  });

  it('the same seed gives the same history', async () => {
    assert.equal(await run(77), await run(77));
  });
});
