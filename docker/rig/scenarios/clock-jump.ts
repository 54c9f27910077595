import type { Scenario } from '../scenario.ts';

const HOUR = 3_600;

export const clockJump: Scenario = {
  name: 'clock-jump',
  summary:
    "the leader's clock jumps an hour ahead, then two hours back, then is right again; then a follower's",
  cluster: { clocks: true },
  async run(stage) {
    const leader = await stage.leader();
    const follower = stage.some(stage.rig.metas.filter((server) => server !== leader));
    for (const server of [leader, follower]) {
      for (const [offset, what] of [
        [HOUR, 'an hour ahead'],
        [-HOUR, 'an hour behind'],
        [0, 'right again'],
      ] as const) {
        await stage.rig.setClock(server, offset);
        stage.note(`the clock of ${server === leader ? 'the leader' : 'a follower'}, ${server}, is ${what}`);
        await stage.hold(4);
      }
    }
    const now = await stage.leader();
    stage.note(now === leader ? `${leader} has led all the time` : `${now} leads now`);
  },
};
