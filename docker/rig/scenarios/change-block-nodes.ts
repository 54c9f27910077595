import type { Scenario } from '../scenario.ts';

export const changeBlockNodes: Scenario = {
  name: 'change-block-nodes',
  summary:
    'a block node joins, and another one hands over its blocks and leaves: ringfs node drain, node remove',
  cluster: { blocks: 1, spares: 1 },
  async run(stage) {
    const { rig } = stage;
    const [added] = rig.spares;
    const [old] = rig.blockNodes;
    await rig.join(added!, 'block');
    stage.note(`started ${added} with --join`);
    await stage.whole();
    stage.note(`${added} has its share of the blocks`);
    await rig.operate(rig.metas, 'node', 'drain', old!);
    stage.note(`${old} has handed over its blocks`);
    await rig.operate(rig.metas, 'node', 'remove', old!);
    rig.forget(old!);
    await rig.stop(old!);
    stage.note(`removed ${old} and stopped it`);
  },
};
