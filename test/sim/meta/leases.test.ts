import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LeaseSimulation, type LeaseSimulationOptions } from './lease-simulation.ts';

const SEEDS = 6;

async function simulate(options: Omit<LeaseSimulationOptions, 'seed'>): Promise<void> {
  let reads = 0;
  let commits = 0;
  let hits = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const sim = new LeaseSimulation({ ...options, seed });
    await sim.run();
    assert.deepEqual(sim.violations, [], `seed ${seed}`);
    reads += sim.reads;
    commits += sim.commits;
    hits += sim.hits;
  }
  assert.ok(commits > SEEDS * 10, 'clients got something done');
  assert.ok(hits > reads / 20, 'caches were used');
}

describe('no client reads what another one has been told is gone', () => {
  it('with a steady leader', () =>
    simulate({ clients: 4, durationMs: 4000, faults: false, failovers: false }));
  it('with broken streams and clients cut off', () =>
    simulate({ clients: 4, durationMs: 8000, faults: true, failovers: false }));
  it('with changes of leader', () =>
    simulate({ clients: 3, durationMs: 8000, faults: false, failovers: true }));
  it('with all of it', () => simulate({ clients: 4, durationMs: 10_000, faults: true, failovers: true }));
});
