import type { Scenario } from '../scenario.ts';

export const killBlockNodes: Scenario = {
  name: 'kill-block-nodes',
  summary: 'two of five block nodes are killed at once, which had two of the three copies of many blocks',
  cluster: { blocks: 2 },
  chaos: 'servers',
  async run(stage) {
    const nodes = stage.rig.blockNodes.slice(0, 2);
    await Promise.all(nodes.map((node) => stage.rig.kill(node)));
    stage.note(`killed ${nodes.join(' and ')}`);
    await stage.hold(10);
    for (const node of nodes) await stage.rig.start(node);
    stage.note(`started ${nodes.join(' and ')}`);
  },
};
