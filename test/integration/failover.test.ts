import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { defined } from '../../src/base/assert.ts';
import { sh, shAsync, TestCluster, until } from '../support/test-cluster.ts';

describe('one of three servers killed with -9 during a copy', () => {
  const source = path.resolve(import.meta.dirname, '../../../node_modules/typescript');
  let cluster: TestCluster;
  before(async () => {
    cluster = await TestCluster.start();
  });
  after(() => cluster.remove());

  for (const role of ['leader', 'follower']) {
    it(`the ${role}: the copy ends without an error, and the server catches up`, async () => {
      const status = await cluster.healthy();
      const victim = defined(
        status.servers.find((server) => server.raft?.role === role),
        `a ${role}`,
      );
      const target = cluster.path(role);
      const copy = shAsync(`cp -a ${source} ${target}`);
      await until(
        'the copy is under way',
        () => Number(sh(`find ${target} -type f 2>/dev/null | wc -l || true`)) > 20,
      );
      process.kill(defined(victim.pid, 'its pid'), 'SIGKILL');
      await copy;
      sh(`diff -r ${source} ${target}`);
      const healed = await cluster.healthy();
      const restarted = defined(
        healed.servers.find((server) => server.id === victim.id),
        'the server',
      );
      assert.notEqual(restarted.pid, victim.pid);
      await until('the restarted server has its blocks', () => {
        const { servers } = cluster.status();
        const blocks = servers.map((server) => server.ring?.blocks ?? 0);
        return new Set(blocks).size === 1 && servers.every((server) => server.ring?.underReplicated === 0);
      });
    });
  }
});
