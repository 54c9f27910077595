import { setTimeout as sleep } from 'node:timers/promises';
import type { Rig } from '../rig.ts';
import type { Scenario, Stage } from '../scenario.ts';

/** Below the time after which followers elect another leader: it stays leader, and everybody has to wait for it. */
const STOPPED_MS = 300;
const RUNNING_MS = 60;

/** Has the process stand still most of the time, as on a machine whose processor or disk is busy with something else. */
async function slow(rig: Rig, server: string, during: () => Promise<void>): Promise<void> {
  let over = false;
  const beat = async (): Promise<void> => {
    while (!over) {
      await rig.signal(server, 'SIGSTOP');
      await sleep(STOPPED_MS);
      await rig.signal(server, 'SIGCONT');
      await sleep(RUNNING_MS);
    }
  };
  const beating = beat();
  try {
    await during();
  } finally {
    over = true;
    await beating;
  }
}

export const slowNode: Scenario = {
  name: 'slow-node',
  summary: 'a follower, then the leader, stands still for 300 of every 360 ms',
  chaos: 'servers',
  async run(stage: Stage) {
    const leader = await stage.leader();
    const follower = stage.some(stage.rig.metas.filter((server) => server !== leader));
    for (const server of [follower, leader]) {
      stage.note(`slowed ${server === leader ? 'the leader' : 'a follower'}, ${server}`);
      await slow(stage.rig, server, () => stage.hold(8));
      stage.note(`${server} is as fast as before`);
      await stage.hold(2);
    }
  },
};
