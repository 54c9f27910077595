import type { Scenario } from '../scenario.ts';

export const killMount: Scenario = {
  name: 'kill-mount',
  summary: 'a mount is killed with SIGKILL under its programs, and mounted again',
  chaos: 'mount',
  async run(stage) {
    const mount = stage.some(stage.rig.mounts);
    await stage.rig.kill(mount);
    stage.note(`killed ${mount}`);
    await stage.hold(3);
    await stage.remount(mount);
    stage.note(`mounted ${mount} again`);
    await stage.hold(3);
  },
};
