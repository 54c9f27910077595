import type { Simulator } from '../harness/simulator.ts';
import { DEFAULTS, FAULTS, PROFILES, type SimOptions } from './options.ts';
import { runSimulation } from './simulation.ts';

export const METADATA: Simulator = {
  description: 'the metadata path: servers, clients, network, disks and clocks',
  defaults: DEFAULTS,
  profiles: PROFILES,
  faults: FAULTS,
  sizes: [
    ['seconds', [1, 2, 3, 4, 6, 8]],
    ['clients', [1, 2]],
    ['fibers', [1]],
    ['groups', [1]],
    ['names', [1, 2]],
    ['locking', [0]],
  ],
  totals: [
    ['elections', 'elections'],
    ['crashes', 'crashes'],
    ['partitions', 'partitions'],
    ['snapshots', 'snapshots'],
    ['membership changes', 'memberChanges'],
    ['leader transfers', 'transfers'],
    ['operations', 'operations'],
    ['unknown outcomes', 'unknownOutcomes'],
    ['unknown verdicts', 'undecided'],
  ],
  async run(seed, options, more) {
    const { violation, counts, digest } = await runSimulation(seed, options as SimOptions, more);
    return { seed, violation, counts: { ...counts }, digest };
  },
};
