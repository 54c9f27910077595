import type { Simulator } from '../harness/simulator.ts';
import { type BlocksOptions, DEFAULTS, FAULTS, PROFILES } from './options.ts';
import { runBlocks } from './simulation.ts';

export const BLOCKS: Simulator = {
  description: 'block nodes and clients: ring, replication, repair, garbage',
  defaults: DEFAULTS,
  profiles: PROFILES,
  faults: FAULTS,
  sizes: [
    ['seconds', [5, 10, 15, 20, 30]],
    ['nodes', [3, 4, 5, 6]],
    ['founders', [3, 4]],
    ['clients', [1]],
    ['fibers', [1]],
    ['virtualNodes', [1, 2]],
    ['contents', [1, 3, 10]],
    ['files', [1, 3]],
  ],
  totals: [
    ['joins', 'joins'],
    ['leaves', 'leaves'],
    ['crashes', 'crashes'],
    ['restarts', 'restarts'],
    ['drains', 'drains'],
    ['removals', 'removals'],
    ['taken back', 'takenBack'],
    ['partitions', 'partitions'],
    ['lost disks', 'diskLosses'],
    ['rotten copies', 'rotten'],
    ['puts', 'puts'],
    ['puts failed', 'putsFailed'],
    ['gets', 'gets'],
    ['gets excused', 'getsExcused'],
    ['commits', 'commits'],
    ['commits refused', 'commitsRefused'],
    ['copies reclaimed', 'reclaimed'],
    ['copies dropped', 'dropped'],
  ],
  run: (seed, options, more) => runBlocks(seed, options as BlocksOptions, more),
};
