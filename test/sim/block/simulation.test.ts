import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { addCounts, type Counts } from '../harness/simulator.ts';
import { BLOCKS_MUTATIONS } from './mutations.ts';
import { type BlocksOptions, DEFAULTS } from './options.ts';
import { runBlocks } from './simulation.ts';

/** Fixed, so that every change is judged by the same runs. `npm run sim -- --profile blocks` takes fresh ones. */
const SEEDS = 4;
/** A planted mistake is found within so many seeds from the given one, which is the first that did when this was written. */
const MUTATION_SEEDS_MAX = 10;

async function run(seed: number): Promise<Counts> {
  const { violation, counts } = await runBlocks(seed, DEFAULTS);
  assert.equal(violation, undefined, `npm run sim -- --seed ${seed} --profile blocks\n${violation?.message}`);
  return counts;
}

describe('the simulated block nodes', () => {
  it(`lose nothing, give everything and keep every block on all its owners, with ${SEEDS} seeds`, async (t) => {
    const total: Counts = {};
    for (let seed = 1; seed <= SEEDS; seed++) addCounts(total, await run(seed));
    t.diagnostic(JSON.stringify(total));
    // A simulation in which nothing happens proves nothing.
    const rare = ['putsFailed', 'getsExcused', 'takenBack'];
    for (const [name, count] of Object.entries(total)) {
      if (!rare.includes(name)) assert.ok(count >= 1, `${name}: ${count}`);
    }
    assert.ok(total['gets']! > 80 * SEEDS && total['puts']! > 60 * SEEDS);
    assert.ok(total['putsFailed']! < total['puts']! / 20 && total['getsExcused']! < total['gets']! / 20);
  });

  it('a seed run twice leaves the same trace, another seed another one', async () => {
    const short = { ...DEFAULTS, seconds: 10 };
    const first = await runBlocks(1, short);
    assert.equal((await runBlocks(1, short)).digest, first.digest);
    assert.notEqual((await runBlocks(2, short)).digest, first.digest);
  });
});

interface Case {
  readonly mistake: keyof typeof BLOCKS_MUTATIONS;
  /** Who has to find it: the other checks are silent. */
  readonly checks: readonly string[];
  readonly from?: number;
  readonly options?: Partial<BlocksOptions>;
}

/** Uploads of a few contents, long ago, of files that come and go: what a collector can get wrong. */
const BUSY: Partial<BlocksOptions> = {
  contents: 10,
  files: 6,
  thinkMs: 1_000,
  truncating: 0.3,
  reading: 0.2,
};

const CASES: readonly Case[] = [
  { mistake: 'acknowledge-early', checks: ['lost'] },
  {
    mistake: 'claim-to-have',
    checks: ['liveness'],
    options: { founders: 4, nodes: 4, virtualNodes: 1, seconds: 20 },
  },
  { mistake: 'never-find', checks: ['unreadable'] },
  { mistake: 'forget-writes', checks: ['lost'] },
  { mistake: 'delete-without-fence', checks: ['lost'], from: 16, options: { ...BUSY, seconds: 90 } },
  { mistake: 'remove-too-early', checks: ['removed'], options: { replicas: 1, drains: 0.2 } },
  { mistake: 'drop-with-fewer', checks: ['surplus'], from: 4 },
  { mistake: 'vouch-for-all', checks: ['surplus'], from: 2 },
  { mistake: 'vouch-without-index', checks: ['surplus'] },
  { mistake: 'commit-without-index', checks: ['lost'], options: { ...BUSY, seconds: 90 } },
];

describe('the checkers of the simulated block nodes notice', () => {
  for (const { mistake, checks, from = 1, options } of CASES) {
    it(`${mistake}, by ${checks.join(' or ')}`, async (t) => {
      for (let seed = from; seed < from + MUTATION_SEEDS_MAX; seed++) {
        const mutation = BLOCKS_MUTATIONS[mistake];
        const { violation } = await runBlocks(seed, { ...DEFAULTS, ...options }, { mutation, only: checks });
        if (violation === undefined) continue;
        assert.ok(checks.includes(violation.check));
        t.diagnostic(`seed ${seed}: ${violation.message.slice(0, 120)}`);
        return;
      }
      assert.fail(`unnoticed from seed ${from} on`);
    });
  }
});
