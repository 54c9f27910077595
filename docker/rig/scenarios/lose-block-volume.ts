import type { Scenario } from '../scenario.ts';

export const loseBlockVolume: Scenario = {
  name: 'lose-block-volume',
  summary: 'a block node is killed and comes back with an empty volume',
  cluster: { blocks: 2 },
  chaos: 'servers',
  async run(stage) {
    const node = stage.some(stage.rig.blockNodes);
    await stage.rig.kill(node);
    await stage.rig.loseVolume(node);
    stage.note(`killed ${node} and emptied its volume`);
    await stage.hold(3);
    await stage.rig.start(node);
    stage.note(`started ${node}`);
  },
};
