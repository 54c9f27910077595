import type { Scenario } from '../scenario.ts';

export const killFollower: Scenario = {
  name: 'kill-follower',
  summary: 'a follower is killed with SIGKILL, and comes back',
  chaos: 'servers',
  async run(stage) {
    const follower = stage.some(await stage.followers());
    await stage.rig.kill(follower);
    stage.note(`killed a follower, ${follower}`);
    await stage.hold(5);
    await stage.rig.start(follower);
    stage.note(`started ${follower}`);
  },
};
