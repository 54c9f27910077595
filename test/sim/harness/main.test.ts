import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { DEFAULTS, type OptionName, profileOptions, type SimOptions } from '../cluster/options.ts';
import { METADATA } from '../cluster/simulator.ts';
import { findProfile } from './profiles.ts';
import { shrink } from './shrink.ts';
import { parseSetting } from './simulator.ts';

describe('shrinking', () => {
  it('keeps what a failure needs', async () => {
    const fails = async ({ kills, transfers, seconds, clients }: SimOptions): Promise<boolean> =>
      kills > 0 && transfers > 0 && seconds >= 3 && clients >= 2;
    const options = profileOptions('mixed');
    const smallest = await shrink(METADATA, options, fails);
    const changed = (name: OptionName): boolean => smallest[name] !== options[name];
    assert.deepEqual([smallest.kills, smallest.transfers], [options.kills, options.transfers]);
    assert.deepEqual([smallest.seconds, smallest.clients, smallest.fibers], [3, 2, 1]);
    assert.ok(changed('loss') && smallest.loss === 0 && smallest.partitions === 0);
  });
});

describe('npm run sim', () => {
  const main = fileURLToPath(new URL('./main.js', import.meta.url));
  const sim = (...args: string[]): Promise<{ status: number; output: string }> =>
    new Promise((resolve) => {
      execFile(process.execPath, [main, ...args], (error, stdout, stderr) => {
        resolve({ status: error === null ? 0 : Number(error.code), output: stdout === '' ? stderr : stdout });
      });
    });

  it('runs fresh seeds and counts', async () => {
    const { status, output } = await sim(
      '--seeds',
      '3',
      '--jobs',
      '2',
      '--profile',
      'crash',
      '--set',
      'seconds=2',
    );
    assert.equal(status, 0, output);
    assert.match(output, /^seeds 3, failures 0, elections \d+, crashes \d+, .*seeds per hour \d+\n$/);
  });

  it('tells what it has seen when it is interrupted', async () => {
    const child = spawn(
      process.execPath,
      [main, '--profile', 'formation', '--seeds', '1000000', '--jobs', '1'],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    const closed = once(child, 'close');
    const [line] = (await once(child.stderr.setEncoding('utf8'), 'data')) as [string];
    assert.match(line, /^1000000 seeds of profile formation/);
    child.kill('SIGINT');
    assert.deepEqual(await closed, [0, null]);
    const seeds = Number(/^seeds (\d+), failures 0, /.exec(output)?.[1]);
    assert.ok(seeds >= 1 && seeds < 1_000_000, output);
  });

  it('says what is wrong with its flags', async () => {
    for (const [args, what] of [
      [['--profile', 'stormy'], /there are: mixed, crash/],
      [['--set', 'rain=1'], /there is no option rain; there are: seconds/],
      [['--set', 'loss=much'], /loss is a number/],
      [['--seeds', 'many'], /a whole number/],
      [['--umbrella'], /unknown option/],
    ] as const) {
      const { status, output } = await sim(...args);
      assert.equal(status, 2, output);
      assert.match(output, what);
    }
  });

  it('knows its profiles and options', () => {
    assert.throws(() => findProfile('stormy'), /there are: mixed/);
    assert.throws(() => findProfile('toString'), /there are: mixed/);
    assert.throws(() => parseSetting(DEFAULTS, 'loss='), RangeError);
    assert.throws(() => parseSetting(DEFAULTS, 'loss=-1'), RangeError);
    assert.deepEqual(parseSetting(DEFAULTS, 'loss=0.5'), { loss: 0.5 });
    assert.equal(profileOptions('calm', { loss: 0.25 }).loss, 0.25);
    assert.equal(profileOptions('calm').kills, 0);
    assert.equal(profileOptions('mixed').kills, DEFAULTS.kills);
  });
});
