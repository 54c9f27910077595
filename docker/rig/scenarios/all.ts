import type { Scenario } from '../scenario.ts';
import { allOff } from './all-off.ts';
import { changeBlockNodes } from './change-block-nodes.ts';
import { changeMetas } from './change-metas.ts';
import { clockJump } from './clock-jump.ts';
import { corruptVolume } from './corrupt-volume.ts';
import { fullDisk } from './full-disk.ts';
import { killBlockNodes } from './kill-block-nodes.ts';
import { killFMetas } from './kill-f-metas.ts';
import { killFollower } from './kill-follower.ts';
import { killLeader } from './kill-leader.ts';
import { killMount } from './kill-mount.ts';
import { loseBlockVolume } from './lose-block-volume.ts';
import { loseMetaVolume } from './lose-meta-volume.ts';
import { oneWayPartition } from './one-way-partition.ts';
import { partitionLeader } from './partition-leader.ts';
import { partitionMount } from './partition-mount.ts';
import { partitionRing } from './partition-ring.ts';
import { pauseLeader } from './pause-leader.ts';
import { rollingRestart } from './rolling-restart.ts';
import { rollingUpgrade } from './rolling-upgrade.ts';
import { slowNode } from './slow-node.ts';

export const SCENARIOS: readonly Scenario[] = [
  killLeader,
  killFollower,
  killFMetas,
  killBlockNodes,
  partitionLeader,
  oneWayPartition,
  partitionMount,
  partitionRing,
  pauseLeader,
  slowNode,
  fullDisk,
  corruptVolume,
  clockJump,
  killMount,
  rollingRestart,
  rollingUpgrade,
  changeMetas,
  changeBlockNodes,
  loseBlockVolume,
  loseMetaVolume,
  allOff,
];
