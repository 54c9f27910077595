import type { Scenario } from '../scenario.ts';

export const killFMetas: Scenario = {
  name: 'kill-f-metas',
  summary: 'two of five metadata servers, the leader among them, are killed at once, and come back',
  cluster: { metas: 5 },
  async run(stage) {
    const leader = await stage.leader();
    const other = stage.some(await stage.followers());
    await Promise.all([stage.rig.kill(leader), stage.rig.kill(other)]);
    stage.note(`killed the leader, ${leader}, and ${other}`);
    stage.note(`${await stage.otherLeader(leader)} leads`);
    await stage.hold(8);
    for (const server of [leader, other]) await stage.rig.start(server);
    stage.note(`started ${leader} and ${other}`);
  },
};
