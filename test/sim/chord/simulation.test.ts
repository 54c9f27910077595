import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { addCounts, type Counts } from '../harness/simulator.ts';
import { RING_MUTATIONS } from './mutations.ts';
import { DEFAULTS, type RingOptions } from './options.ts';
import { runRing } from './simulation.ts';

/** Fixed, so that every change is judged by the same runs. `npm run sim -- --profile ring` takes fresh ones. */
const SEEDS = 30;
/** A planted mistake is found within so many seeds. */
const MUTATION_SEEDS_MAX = 10;

/** Seeds that have found something, and what. */
const FAILED_ONCE: readonly (readonly [seed: number, what: string])[] = [
  [2761074953, 'the list of a machine that is joining skipped members, and its neighbours copied it'],
  [140174362, 'the same after a false suspicion'],
  [1817552144, 'a machine that came back with fewer virtual nodes was in the lists with the others for ever'],
  [749061491, 'machines that had lost their places waited for each other'],
  [3720163777, 'a machine that joined did not wait for the answer about its place'],
  [2893706986, 'a lookup was led to a place that a machine had in a life before, and back'],
  [
    1621448217,
    'a machine that joined was told of a dead member by one that had no cause to ask it, for ever',
  ],
  [820734686, 'a member followed a machine that had not joined yet into its own ring'],
];

async function run(seed: number, changes: Partial<RingOptions> = {}): Promise<Counts> {
  const { violation, counts } = await runRing(seed, { ...DEFAULTS, ...changes });
  assert.equal(violation, undefined, `npm run sim -- --seed ${seed} --profile ring\n${violation?.message}`);
  return counts;
}

describe('the simulated Chord ring', () => {
  it(`keeps its invariants and becomes ideal, with ${SEEDS} seeds`, async (t) => {
    const total: Counts = {};
    for (let seed = 1; seed <= SEEDS; seed++) addCounts(total, await run(seed));
    t.diagnostic(JSON.stringify(total));
    // A simulation in which nothing happens proves nothing.
    for (const [name, count] of Object.entries(total)) assert.ok(count >= 10, `${name}: ${count}`);
    assert.ok(
      total['strictMs']! > 0.25 * SEEDS * DEFAULTS.seconds * 1_000,
      `strict for ${total['strictMs']} ms`,
    );
  });

  it('loses nobody when a list loses all members but one at a time', async () => {
    const crowd = { founders: 12, machines: 14, virtualNodes: 1, crashes: 0.15, crashesMax: 8, joins: 0.5 };
    for (let seed = 1; seed <= 5; seed++) {
      const counts = await run(seed, {
        ...crowd,
        loss: 0,
        slowNodes: 0,
        partitions: 0,
        pauses: 0,
        straggling: 0,
      });
      assert.ok(counts['crashes']! >= 8, `${counts['crashes']} crashes`);
    }
  });

  for (const [seed, what] of FAILED_ONCE) {
    it(`seed ${seed}: ${what}`, async () => {
      await run(seed);
    });
  }

  it('a seed run twice leaves the same trace, another seed another one', async () => {
    const digests = new Set<string>();
    for (const seed of [1, 2, 3]) {
      const { digest } = await runRing(seed, DEFAULTS);
      assert.equal((await runRing(seed, DEFAULTS)).digest, digest, `seed ${seed}`);
      digests.add(digest);
    }
    assert.equal(digests.size, 3);
  });
});

interface Case {
  readonly mistake: keyof typeof RING_MUTATIONS;
  /** Who has to find it: the other checks are silent. */
  readonly checks: readonly string[];
  readonly options?: Partial<RingOptions>;
}

const LARGE: Partial<RingOptions> = { founders: 16, machines: 20, virtualNodes: 1, lookups: 20 };

const CASES: readonly Case[] = [
  { mistake: 'skip-a-member', checks: ['skipped'] },
  { mistake: 'ignore-notify', checks: ['ideal'] },
  { mistake: 'believe-in-the-dead', checks: ['ideal'] },
  { mistake: 'name-one-owner', checks: ['lookup'] },
  { mistake: 'lookup-in-circles', checks: ['lookup'], options: LARGE },
  { mistake: 'forget-the-list', checks: ['ideal'] },
];

describe('the checkers of the simulated ring notice', () => {
  for (const { mistake, checks, options } of CASES) {
    it(`${mistake}, by ${checks.join(' or ')}`, async (t) => {
      for (let seed = 1; seed <= MUTATION_SEEDS_MAX; seed++) {
        const makeCore = RING_MUTATIONS[mistake];
        const { violation } = await runRing(seed, { ...DEFAULTS, ...options }, { makeCore, only: checks });
        if (violation === undefined) continue;
        assert.ok(checks.includes(violation.check));
        t.diagnostic(`seed ${seed}: ${violation.message.slice(0, 120)}`);
        return;
      }
      assert.fail('unnoticed');
    });
  }
});
