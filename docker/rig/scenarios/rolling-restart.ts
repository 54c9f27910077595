import type { Scenario } from '../scenario.ts';

export const rollingRestart: Scenario = {
  name: 'rolling-restart',
  summary: 'every server is stopped and started again, one after the other, the leader last',
  chaos: 'servers',
  async run(stage) {
    const leader = await stage.leader();
    for (const server of [...stage.rig.servers.filter((name) => name !== leader), leader]) {
      await stage.rig.stop(server);
      stage.note(`stopped ${server}`);
      await stage.hold(1);
      await stage.rig.start(server);
      stage.note(`started ${server}`);
      await stage.whole();
      stage.note('all are healthy');
    }
  },
};
