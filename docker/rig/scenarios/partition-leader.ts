import { partition } from '../rig.ts';
import type { Scenario } from '../scenario.ts';

export const partitionLeader: Scenario = {
  name: 'partition-leader',
  summary: 'the leader is cut off from all followers, but not from the mounts',
  chaos: 'servers',
  async run(stage) {
    const leader = await stage.leader();
    const others = stage.rig.metas.filter((server) => server !== leader);
    const mend = await partition(stage.rig, [leader], others);
    stage.note(`cut ${leader} off from ${others.join(' and ')}`);
    stage.note(`${await stage.otherLeader(leader)} leads`);
    await stage.hold(5);
    await mend();
    stage.note('healed');
  },
};
