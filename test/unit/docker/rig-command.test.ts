import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { describe, it } from 'node:test';
import { SCENARIOS } from '../../../docker/rig/scenarios/all.ts';

const MAIN = path.resolve(import.meta.dirname, '../../../docker/rig/main.js');

function rig(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [MAIN, ...args], { encoding: 'utf8' });
}

describe('npm run rig', () => {
  it('lists every scenario once, and chaos', () => {
    const { status, stdout } = rig('--list');
    assert.equal(status, 0);
    const names = stdout
      .trim()
      .split('\n')
      .map((line) => line.split(' ')[0]);
    assert.deepEqual(names, [...SCENARIOS.map(({ name }) => name), 'chaos']);
    assert.equal(new Set(names).size, names.length);
  });

  it('says what is wrong with what it was told, before anything is begun', () => {
    const cases: readonly (readonly [args: readonly string[], message: RegExp])[] = [
      [['kill-ledaer'], /^rig: there is no scenario kill-ledaer; see: npm run rig -- --list\n$/],
      [['all-off', '--scale', 'fast'], /^rig: --scale fast: a number above 0\n$/],
      [['chaos', '--minutes', '0'], /^rig: --minutes 0: a number above 0\n$/],
      [['chaos', '--seed', '-1'], /^rig: --seed -1: a whole number\n$/],
      [['all-off', '--docker', '--netns'], /^rig: --docker or --netns, not both\n$/],
    ];
    for (const [args, message] of cases) {
      const { status, stderr, stdout } = rig(...args);
      assert.match(stderr, message);
      assert.deepEqual([status, stdout], [2, '']);
    }
  });
});
