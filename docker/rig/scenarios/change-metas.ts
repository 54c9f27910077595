import type { Scenario } from '../scenario.ts';

export const changeMetas: Scenario = {
  name: 'change-metas',
  summary: 'a metadata server joins, and the leader is removed: ringfs cluster add, cluster remove',
  cluster: { spares: 1 },
  async run(stage) {
    const { rig } = stage;
    const [added] = rig.spares;
    await rig.join(added!, 'meta,block');
    stage.note(`started ${added} with --join`);
    await rig.operate(rig.metas, 'cluster', 'add', `${added}=${rig.address(added!)}`);
    stage.note(`${added} votes`);
    await stage.whole();
    stage.note('all are healthy');
    const leader = await stage.leader();
    await rig.operate(rig.metas, 'node', 'drain', leader);
    stage.note(`${leader} has handed over its blocks`);
    await rig.operate(rig.metas, 'cluster', 'remove', leader);
    await rig.operate(
      rig.metas.filter((server) => server !== leader),
      'node',
      'remove',
      leader,
    );
    rig.forget(leader);
    await rig.stop(leader);
    stage.note(`removed the leader, ${leader}, and stopped it`);
    stage.note(`${await stage.otherLeader(leader)} leads`);
  },
};
