import type { Scenario } from '../scenario.ts';

export const killLeader: Scenario = {
  name: 'kill-leader',
  summary: 'the leader is killed with SIGKILL, and comes back',
  chaos: 'servers',
  async run(stage) {
    const leader = await stage.leader();
    await stage.rig.kill(leader);
    stage.note(`killed the leader, ${leader}`);
    stage.note(`${await stage.otherLeader(leader)} leads`);
    await stage.hold(5);
    await stage.rig.start(leader);
    stage.note(`started ${leader}`);
  },
};
