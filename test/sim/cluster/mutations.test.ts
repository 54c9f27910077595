import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MUTATIONS, type Mutation } from './mutations.ts';
import { profileOptions, type SimOptions } from './options.ts';
import { runSimulation } from './simulation.ts';

/** A planted mistake is found within so many seeds from the given one, which is the first that did when this was written. */
const SEEDS_MAX = 40;

interface Case {
  readonly mistake: keyof typeof MUTATIONS;
  /** Who has to find it: the other checks are silent. */
  readonly checks: readonly string[];
  readonly profile: string;
  readonly from: number;
  readonly options?: Partial<SimOptions>;
  readonly finds?: RegExp;
}

/** Clients that do not reach the leader for long, and do much meanwhile. */
const CUT_FROM_LEADERS = {
  relaying: 0,
  leaderCuts: 2,
  clientCutMs: 20_000,
  seconds: 15,
  thinkMs: 40,
  clients: 4,
};

const CASES: readonly Case[] = [
  { mistake: 'vote-twice', checks: ['leader'], profile: 'crash', from: 1 },
  { mistake: 'vote-twice', checks: ['promise'], profile: 'mixed', from: 5, finds: /vote for/ },
  { mistake: 'answer-before-sync', checks: ['promise'], profile: 'crash', from: 1 },
  {
    mistake: 'answer-before-sync',
    checks: ['leader', 'log-matching', 'state-machine-safety', 'durability'],
    profile: 'crash',
    from: 4,
  },
  {
    mistake: 'commit-early',
    checks: ['state-machine-safety'],
    profile: 'crash',
    from: 7,
    options: { servers: 5 },
  },
  {
    mistake: 'count-old-terms',
    checks: ['leader'],
    profile: 'calm',
    from: 1,
    finds: /lacks committed entry/,
  },
  {
    mistake: 'deposed-leader-reads',
    checks: ['linearizability'],
    profile: 'partition',
    from: 1,
    options: { partitions: 0.8 },
  },
  {
    mistake: 'follower-does-not-ask',
    checks: ['linearizability'],
    profile: 'calm',
    from: 2,
    options: CUT_FROM_LEADERS,
  },
  { mistake: 'forget-answers', checks: ['state-hash'], profile: 'mixed', from: 1 },
  { mistake: 'forget-answers', checks: ['exactly-once', 'outcome'], profile: 'mixed', from: 62 },
  { mistake: 'skip-row', checks: ['state-hash'], profile: 'mixed', from: 1 },
  { mistake: 'skip-row', checks: ['state-alarm'], profile: 'mixed', from: 1, finds: /differ from those/ },
  {
    mistake: 'alter-entry',
    checks: ['state-alarm'],
    profile: 'calm',
    from: 1,
    finds:
      /s2:1: .*differ from those of the other replicas: at log index \d+ their hash was \w{13}, and \w{13} at/,
  },
  {
    mistake: 'lose-row',
    checks: ['state-alarm'],
    profile: 'calm',
    from: 1,
    finds: /s2:1: .*disk does not have/,
  },
  { mistake: 'lose-row', checks: ['state-hash'], profile: 'calm', from: 1 },
  {
    mistake: 'read-without-barrier',
    checks: ['linearizability'],
    profile: 'calm',
    from: 1,
    options: { diskMs: 8 },
  },
  { mistake: 'append-twice', checks: ['linearizability'], profile: 'calm', from: 1, finds: /files/ },
  { mistake: 'lock-twice', checks: ['linearizability'], profile: 'calm', from: 1, finds: /lock/ },
  { mistake: 'ignore-recalls', checks: ['linearizability'], profile: 'calm', from: 1 },
];

describe('the checkers of the simulated cluster notice', () => {
  for (const { mistake, checks, profile, from, options, finds } of CASES) {
    it(`${mistake}, by ${checks.join(' or ')}`, async (t) => {
      const mutation: Mutation = MUTATIONS[mistake];
      for (let seed = from; seed < from + SEEDS_MAX; seed++) {
        const run = { mutation, only: checks };
        const { violation } = await runSimulation(seed, profileOptions(profile, options), run);
        if (violation === undefined) continue;
        assert.ok(checks.includes(violation.check));
        if (finds !== undefined) assert.match(violation.message, finds);
        t.diagnostic(`seed ${seed}: ${violation.message.slice(0, 120)}`);
        return;
      }
      assert.fail(`unnoticed from seed ${from} on`);
    });
  }

  it('nothing in the schedule of figure 8 where no mistake is planted', async () => {
    const lines: string[] = [];
    const run = { mutation: MUTATIONS['figure-8'], onTrace: (line: string) => void lines.push(line) };
    const { violation } = await runSimulation(1, profileOptions('calm'), run);
    assert.equal(violation, undefined);
    assert.ok(lines.some((line) => line.includes('figure 8 is complete')));
  });
});
