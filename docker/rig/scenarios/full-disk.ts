import type { Scenario } from '../scenario.ts';

export const fullDisk: Scenario = {
  name: 'full-disk',
  summary: "the leader's volume is filled up by something else, and freed again",
  cluster: { volumeMegabytes: 512 },
  async run(stage) {
    const leader = await stage.leader();
    const free = await stage.rig.fillVolume(leader);
    stage.note(`filled the volume of the leader, ${leader}`);
    await stage.hold(10);
    const { leader: now } = await stage.rig.status();
    stage.note(now === leader ? `${leader} still leads` : `${now ?? 'nobody'} leads`);
    await free();
    stage.note('freed it');
  },
};
