import type { Scenario } from '../scenario.ts';

export const allOff: Scenario = {
  name: 'all-off',
  summary: 'all servers are killed at once, and started again',
  chaos: 'servers',
  async run(stage) {
    await Promise.all(stage.rig.servers.map((server) => stage.rig.kill(server)));
    stage.note('killed all servers');
    await stage.hold(3);
    for (const server of stage.rig.servers) await stage.rig.start(server);
    stage.note('started all servers');
    stage.note(`${await stage.leader()} leads`);
  },
};
