import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Bugs, type GarbageRun, GarbageSimulation } from './garbage-simulation.ts';

const SEEDS = 12;

/** The first seed with which the simulation fails. */
async function firstFailure(bugs: Bugs, seeds: number): Promise<number | undefined> {
  for (let seed = 1; seed <= seeds; seed++) {
    const failed = await new GarbageSimulation(seed, bugs).run().then(
      () => false,
      (error: unknown) => error instanceof assert.AssertionError,
    );
    if (failed) return seed;
  }
  return undefined;
}

describe('garbage collection with late deletes, dead nodes and new leaders', () => {
  it(`loses nothing that is referred to and deletes all else, with ${SEEDS} seeds`, async () => {
    const runs: GarbageRun[] = [];
    for (let seed = 1; seed <= SEEDS; seed++) {
      try {
        runs.push(await new GarbageSimulation(seed).run());
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error });
      }
    }
    const sum = (of: (run: GarbageRun) => number): number => runs.reduce((total, run) => total + of(run), 0);
    assert.ok(sum((run) => run.deletes) > 10 * SEEDS, `${sum((run) => run.deletes)} deletes`);
    assert.ok(sum((run) => run.refused) > 0, 'some commits came too late');
  });

  it('is the same for the same seed', async () => {
    const [a, b] = [await new GarbageSimulation(3).run(), await new GarbageSimulation(3).run()];
    assert.equal(a.trace, b.trace);
  });

  it('sees deletes that do not heed the index of the upload', async () => {
    assert.notEqual(await firstFailure({ noFence: true }, SEEDS), undefined);
  });

  it('sees commits that do not say how old their uploads are', async () => {
    assert.notEqual(await firstFailure({ noUploadIndex: true }, SEEDS), undefined);
  });
});
