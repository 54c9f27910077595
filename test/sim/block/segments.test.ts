import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type SegmentsRun, SegmentsSimulation } from './segments-simulation.ts';

const SEEDS = 60;

describe('segments on a disk that loses power', () => {
  it(`loses nothing that was answered and gives all space back, with ${SEEDS} seeds`, async () => {
    const runs: SegmentsRun[] = [];
    for (let seed = 1; seed <= SEEDS; seed++) {
      try {
        runs.push(await new SegmentsSimulation(seed).run(12));
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error });
      }
    }
    const sum = (of: (run: SegmentsRun) => number): number => runs.reduce((total, run) => total + of(run), 0);
    assert.ok(sum((run) => run.crashes) > SEEDS, 'the power went often enough');
    assert.ok(sum((run) => run.full) > SEEDS, 'calls failed often enough');
  });
});
