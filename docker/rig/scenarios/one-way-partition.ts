import type { Scenario } from '../scenario.ts';

export const oneWayPartition: Scenario = {
  name: 'one-way-partition',
  summary: 'the leader still sends to its followers, but hears nothing from them',
  async run(stage) {
    const leader = await stage.leader();
    for (const other of stage.rig.servers) if (other !== leader) await stage.rig.cut(other, leader);
    stage.note(`nothing reaches ${leader} from the other servers`);
    stage.note(`${await stage.otherLeader(leader)} leads`);
    await stage.hold(5);
    await stage.rig.heal();
    stage.note('healed');
  },
};
