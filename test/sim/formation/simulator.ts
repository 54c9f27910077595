import type { Simulator } from '../harness/simulator.ts';
import { DEFAULTS, FAULTS, type FormationOptions, PROFILES } from './options.ts';
import { runFormation } from './simulation.ts';

export const FORMATION: Simulator = {
  description: 'servers that form a cluster for the first time',
  defaults: DEFAULTS,
  profiles: PROFILES,
  faults: FAULTS,
  sizes: [
    ['seconds', [2, 4, 6, 8, 10]],
    ['startSeconds', [0, 1, 2]],
  ],
  totals: [
    ['crashes', 'crashes'],
    ['disks lost', 'wipes'],
    ['went on first', 'formed'],
    ['went on after others', 'followed'],
    ['refused', 'refused'],
    ['ended while waiting', 'waited'],
    ['questions', 'questions'],
  ],
  run: (seed, options, more) => runFormation(seed, options as FormationOptions, more),
};
