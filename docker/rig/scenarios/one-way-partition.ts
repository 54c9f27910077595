import type { Scenario } from '../scenario.ts';

export const oneWayPartition: Scenario = {
  name: 'one-way-partition',
  summary: 'the leader still sends to its followers, but hears nothing from them',
  chaos: 'servers',
  async run(stage) {
    const leader = await stage.leader();
    const others = stage.rig.metas.filter((server) => server !== leader);
    const mends = await Promise.all(others.map((other) => stage.rig.cut(other, leader)));
    stage.note(`nothing reaches ${leader} from the other servers`);
    stage.note(`${await stage.otherLeader(leader)} leads`);
    await stage.hold(5);
    for (const mend of mends) await mend();
    stage.note('healed');
  },
};
