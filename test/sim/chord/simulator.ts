import type { Simulator } from '../harness/simulator.ts';
import { DEFAULTS, FAULTS, PROFILES, type RingOptions } from './options.ts';
import { runRing } from './simulation.ts';

export const RING: Simulator = {
  description: 'the Chord core of block nodes',
  defaults: DEFAULTS,
  profiles: PROFILES,
  faults: FAULTS,
  sizes: [
    ['seconds', [5, 10, 15, 20, 30, 45]],
    ['machines', [2, 3, 4, 6, 8]],
    ['founders', [1, 2, 3, 4]],
    ['virtualNodes', [1, 2]],
    ['lookups', [0]],
  ],
  totals: [
    ['joins', 'joins'],
    ['leaves', 'leaves'],
    ['crashes', 'crashes'],
    ['restarts', 'restarts'],
    ['partitions', 'partitions'],
    ['pauses', 'pauses'],
    ['false suspicions', 'falseSuspicions'],
    ['lookups', 'lookups'],
    ['lookups compared', 'lookupsChecked'],
    ['messages', 'messages'],
  ],
  run: (seed, options, more) => runRing(seed, options as RingOptions, more),
};
