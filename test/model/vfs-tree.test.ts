import { it } from 'node:test';
import fc from 'fast-check';
import { TreeRun, type TreeWorld } from '../support/tree-run.ts';
import { treeStep } from '../support/tree-steps.ts';
import { Cluster, SMALL, settle } from '../support/vfs-fixture.ts';

/** Two mounts of one cluster against a tree in memory: structure, content, attributes and errors, close-to-open. */

function world(): TreeWorld {
  const cluster = new Cluster();
  const mounts = [cluster.mount(SMALL), cluster.mount(SMALL)];
  return {
    mounts: mounts.map(({ vfs }) => vfs),
    wait: (work) => work,
    async tick() {
      for (const { timers } of mounts) timers.advance(600);
      await settle();
    },
    fresh: async () => cluster.mount(SMALL).vfs,
    heal: async () => undefined,
  };
}

it('two mounts agree with a tree in memory', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(treeStep, { minLength: 1, maxLength: 60 }), async (steps) => {
      const run = new TreeRun(world());
      for (const step of steps) await run.step(step);
      await run.finish();
    }),
    // A long hunt: MODEL_RUNS=100000 and another MODEL_SEED.
    {
      numRuns: Number(process.env['MODEL_RUNS'] ?? 300),
      seed: Number(process.env['MODEL_SEED'] ?? 20_260_728),
    },
  );
});
