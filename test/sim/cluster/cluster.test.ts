import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { addCounts } from '../harness/simulator.ts';
import { noCounts, profileOptions, type SimCounts } from './options.ts';
import { runSimulation } from './simulation.ts';

/** Fixed, so that every change is judged by the same runs. `npm run sim` takes fresh ones. */
const SEEDS: readonly (readonly [profile: string, seeds: number])[] = [
  ['mixed', 16],
  ['crash', 3],
  ['partition', 3],
  ['clock', 3],
  ['disk', 3],
  ['membership', 3],
  ['sessions', 2],
  ['calm', 1],
];

/** Seeds that have found something, and what. */
const FAILED_ONCE: readonly (readonly [seed: number, profile: string, what: string])[] = [
  [1167897623, 'mixed', 'a server that had been away did not answer a leader added meanwhile'],
  [2154177265, 'mixed', 'the same, with a removal'],
  [4243435545, 'mixed', 'a snapshot that failed while the leader’s disk was full was never sent again'],
  [2683515224, 'mixed', 'EEXIST told of a file that another client looked up afterwards and did not find'],
  [
    1805267315,
    'mixed',
    'after a power loss the last member waited for the vote of one whose removal was done',
  ],
  [1702054538, 'mixed', 'entries were acknowledged that a later leader had replaced before they were stored'],
  [
    898700519,
    'mixed',
    'renaming one of two names of a file to the other told of a link that another client did not see yet',
  ],
  [984107829, 'mixed', 'a server was expected to start on a full disk although it had to write'],
  [174, 'mixed', 'the checker took a rename that changes nothing for one that never does'],
  [116, 'mixed', 'timers that fire early are set again forever'],
];

async function run(seed: number, profile: string): Promise<SimCounts> {
  const { violation, counts } = await runSimulation(seed, profileOptions(profile));
  const message = `npm run sim -- --seed ${seed} --profile ${profile}\n${violation?.message}`;
  assert.equal(violation, undefined, message);
  return counts;
}

describe('the simulated metadata cluster', () => {
  for (const [profile, seeds] of SEEDS) {
    it(`keeps its promises: ${profile}, ${seeds} seeds`, async (t) => {
      const total = noCounts();
      for (let seed = 1; seed <= seeds; seed++) addCounts(total, await run(seed, profile));
      t.diagnostic(JSON.stringify(total));
      assert.equal(total.undecided, 0);
      assert.ok(total.operations > 40 * seeds, `${total.operations} operations`);
      if (profile !== 'mixed') return;
      // A simulation in which nothing happens proves nothing.
      const rare: readonly (keyof SimCounts)[] = ['undecided', 'sessionsLost', 'refusedStarts'];
      for (const name of Object.keys(total) as (keyof SimCounts)[]) {
        if (!rare.includes(name)) assert.ok(total[name] >= 5, `${name}: ${total[name]}`);
      }
    });
  }

  for (const [seed, profile, what] of FAILED_ONCE) {
    it(`seed ${seed}: ${what}`, async () => {
      await run(seed, profile);
    });
  }

  it('a seed run twice leaves the same trace, another seed another one', async () => {
    const digests = new Set<string>();
    for (const seed of [1, 2, 3]) {
      const { digest } = await runSimulation(seed, profileOptions('mixed'));
      assert.equal((await runSimulation(seed, profileOptions('mixed'))).digest, digest, `seed ${seed}`);
      digests.add(digest);
    }
    assert.equal(digests.size, 3);
  });
});
