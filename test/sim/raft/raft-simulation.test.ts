import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { runRaftSimulation } from './raft-simulation.ts';
import { noCounts, type PlantedBug, type SimulationCounts } from './world.ts';

const SEEDS = 300;
const SEEDS_RUN_TWICE = 25;
/** A planted bug shows within so many seeds from the given one; the first that does when this was written. */
const BUG_SEEDS_MAX = 400;
const BUGS: readonly (readonly [PlantedBug, number])[] = [
  ['send-before-persist', 40],
  ['count-unpersisted-self', 11],
  ['forget-vote', 95],
  ['skip-fsync', 1],
  ['read-without-lease', 2],
  ['read-before-apply', 5],
];

function add(total: SimulationCounts, counts: SimulationCounts): void {
  for (const key of Object.keys(total) as (keyof SimulationCounts)[]) total[key] += counts[key];
}

describe('Raft simulation', () => {
  it(`keeps its promises under faults (${SEEDS} seeds)`, (t) => {
    const total = noCounts();
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { violation, counts } = runRaftSimulation(seed);
      assert.equal(violation, undefined, `seed ${seed}: ${violation?.stack}`);
      add(total, counts);
    }
    t.diagnostic(JSON.stringify(total));
    // A simulation in which nothing happens proves nothing.
    for (const [what, count] of Object.entries(total)) assert.ok(count >= SEEDS / 4, `${what}: ${count}`);
  });

  it('is deterministic: a seed run twice leaves the same trace', () => {
    const hashes = new Set<string>();
    for (let seed = 1; seed <= SEEDS_RUN_TWICE; seed++) {
      const { traceHash } = runRaftSimulation(seed);
      assert.equal(runRaftSimulation(seed).traceHash, traceHash, `seed ${seed}`);
      hashes.add(traceHash);
    }
    assert.equal(hashes.size, SEEDS_RUN_TWICE);
  });

  for (const [bug, from] of BUGS) {
    it(`the checkers notice a driver that makes the mistake ${bug}`, (t) => {
      let seed = from;
      let { violation } = runRaftSimulation(seed, { bug, strikeOneIn: 150 });
      while (violation?.name !== 'SafetyViolation' && seed < from + BUG_SEEDS_MAX) {
        seed += 1;
        violation = runRaftSimulation(seed, { bug, strikeOneIn: 150 }).violation;
      }
      assert.equal(violation?.name, 'SafetyViolation', `unnoticed from seed ${from} to ${seed}`);
      t.diagnostic(`seed ${seed}: ${violation?.message}`);
    });
  }
});
