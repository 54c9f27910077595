import { partition } from '../rig.ts';
import type { Scenario } from '../scenario.ts';

export const partitionRing: Scenario = {
  name: 'partition-ring',
  summary: 'the ring falls into two, with the leader and a block node on the smaller side; mounts reach both',
  cluster: { blocks: 2 },
  chaos: 'servers',
  async run(stage) {
    const leader = await stage.leader();
    const [node] = stage.rig.blockNodes;
    const here = [leader, node!];
    const there = stage.rig.servers.filter((server) => !here.includes(server));
    const mend = await partition(stage.rig, here, there);
    stage.note(`cut ${here.join(' and ')} off from ${there.join(', ')}`);
    stage.note(`${await stage.otherLeader(leader)} leads`);
    await stage.hold(8);
    await mend();
    stage.note('healed');
  },
};
