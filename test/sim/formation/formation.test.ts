import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { addCounts, type Counts } from '../harness/simulator.ts';
import type { Mistake } from './machine.ts';
import { DEFAULTS, type FormationOptions } from './options.ts';
import { runFormation } from './simulation.ts';

const SEEDS = 150;

async function runSeeds(options: Partial<FormationOptions>, count = SEEDS): Promise<Counts> {
  const total: Counts = {};
  for (let seed = 1; seed <= count; seed++) {
    const { violation, counts } = await runFormation(seed, { ...DEFAULTS, ...options });
    assert.equal(violation, undefined, `seed ${seed} ${JSON.stringify(options)}: ${violation?.message}`);
    addCounts(total, counts);
  }
  return total;
}

describe('the first formation of a simulated cluster', () => {
  it('ends, and nobody who lost votes votes again, whatever dies and whichever disk is lost', async () => {
    const counts = await runSeeds({});
    for (const name of ['crashes', 'wipes', 'formed', 'followed', 'refused', 'waited'])
      assert.ok((counts[name] ?? 0) > 20, `${name}: ${counts[name]}`);
    await runSeeds({ servers: 5 }, 40);
    await runSeeds({ servers: 2 }, 40);
    await runSeeds({ servers: 1 }, 10);
  });

  it('takes everybody in as long as no disk is lost', async () => {
    const { refused, formed = 0, followed = 0 } = await runSeeds({ wipes: 0, crashes: 2 });
    assert.equal(refused, 0);
    assert.equal(formed + followed >= SEEDS * 3, true);
  });

  it('is the same for the same seed', async () => {
    const digests = await Promise.all(
      [7, 7, 8].map(async (seed) => (await runFormation(seed, DEFAULTS)).digest),
    );
    assert.equal(digests[0], digests[1]);
    assert.notEqual(digests[0], digests[2]);
  });

  for (const mistake of ['says-blank', 'same-instance', 'asks-once'] satisfies Mistake[]) {
    it(`is checked so that ${mistake} is noticed`, async (t) => {
      const options = { ...DEFAULTS, wipes: 1.5, restartMs: 300, startSeconds: 1 };
      for (let seed = 1; seed <= 400; seed++) {
        const { violation } = await runFormation(seed, options, { mistake });
        if (violation?.check !== 'amnesia') continue;
        t.diagnostic(`seed ${seed}: ${violation.message}`);
        assert.equal((await runFormation(seed, options)).violation, undefined);
        return;
      }
      assert.fail('unnoticed');
    });
  }
});
