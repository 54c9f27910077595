import type { Scenario } from '../scenario.ts';

export const loseMetaVolume: Scenario = {
  name: 'lose-meta-volume',
  summary: 'the leader loses its volume for good, and another server under another name takes its place',
  cluster: { spares: 1 },
  async run(stage) {
    const { rig } = stage;
    const lost = await stage.leader();
    await rig.kill(lost);
    await rig.loseVolume(lost);
    stage.note(`killed the leader, ${lost}, and emptied its volume`);
    stage.note(`${await stage.otherLeader(lost)} leads`);
    rig.forget(lost);
    await rig.operate(rig.metas, 'cluster', 'remove', lost);
    stage.note(`removed ${lost} from the metadata cluster`);
    const [added] = rig.spares;
    await rig.join(added!, 'meta,block');
    await rig.operate(rig.metas, 'cluster', 'add', `${added}=${rig.address(added!)}`);
    stage.note(`${added} joined, and votes`);
    await rig.operate(rig.metas, 'node', 'remove', lost);
    stage.note(`removed ${lost} from the block nodes`);
  },
};
