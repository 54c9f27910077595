import type { Scenario } from '../scenario.ts';

export const pauseLeader: Scenario = {
  name: 'pause-leader',
  summary: 'the leader stands still (SIGSTOP), is replaced, and goes on as if nothing had happened',
  chaos: 'servers',
  async run(stage) {
    const leader = await stage.leader();
    await stage.rig.signal(leader, 'SIGSTOP');
    stage.note(`paused the leader, ${leader}`);
    await stage.hold(8);
    await stage.rig.signal(leader, 'SIGCONT');
    stage.note(`resumed ${leader}`);
    await stage.hold(3);
  },
};
