import { partition } from '../rig.ts';
import type { Scenario } from '../scenario.ts';

export const partitionMount: Scenario = {
  name: 'partition-mount',
  summary: 'a mount is cut off from the leader only',
  chaos: 'mount',
  async run(stage) {
    const leader = await stage.leader();
    const mount = stage.some(stage.rig.mounts);
    const mend = await partition(stage.rig, [mount], [leader]);
    stage.note(`cut ${mount} off from the leader, ${leader}`);
    await stage.hold(10);
    await stage.worksOn(mount);
    stage.note(`${mount} makes changes without it`);
    await mend();
    stage.note('healed');
  },
};
