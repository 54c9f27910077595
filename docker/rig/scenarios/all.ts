import type { Scenario } from '../scenario.ts';
import { allOff } from './all-off.ts';
import { killFollower } from './kill-follower.ts';
import { killLeader } from './kill-leader.ts';
import { killMount } from './kill-mount.ts';
import { oneWayPartition } from './one-way-partition.ts';
import { partitionLeader } from './partition-leader.ts';
import { partitionMount } from './partition-mount.ts';
import { pauseLeader } from './pause-leader.ts';
import { rollingRestart } from './rolling-restart.ts';

export const SCENARIOS: readonly Scenario[] = [
  killLeader,
  killFollower,
  partitionLeader,
  oneWayPartition,
  partitionMount,
  pauseLeader,
  killMount,
  rollingRestart,
  allOff,
];
