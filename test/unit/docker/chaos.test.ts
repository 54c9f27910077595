import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CHAOS_CLUSTER, type ChaosStep, chaosSteps } from '../../../docker/rig/chaos.ts';
import { CLUSTER_DEFAULT, type ClusterSpec } from '../../../docker/rig/cluster.ts';
import { SCENARIOS } from '../../../docker/rig/scenarios/all.ts';

const STEPS = 500;

function first(seed: number): ChaosStep[] {
  const steps = chaosSteps(seed);
  return Array.from({ length: STEPS }, () => steps.next().value);
}

describe('chaos', () => {
  it('does the same for the same seed, and something else for another', () => {
    assert.deepEqual(first(7), first(7));
    assert.notDeepEqual(first(7), first(8));
  });

  it('does everything that it may do, and breaks no mount while there is nothing to mount', () => {
    const steps = first(1);
    const done = new Set(steps.flatMap(({ servers, mount }) => [servers, mount]));
    for (const { name, chaos } of SCENARIOS) assert.equal(done.has(name), chaos !== undefined, name);
    for (const { servers, mount } of steps) if (servers === 'all-off') assert.equal(mount, undefined);
  });

  it('has the cluster that its scenarios need', () => {
    const cluster: ClusterSpec = { ...CLUSTER_DEFAULT, ...CHAOS_CLUSTER };
    for (const scenario of SCENARIOS.filter(({ chaos }) => chaos !== undefined)) {
      const { metas, blocks, spares, clocks, volumeMegabytes } = { ...CLUSTER_DEFAULT, ...scenario.cluster };
      assert.ok(
        cluster.metas >= metas && cluster.blocks >= blocks && cluster.spares >= spares,
        scenario.name,
      );
      assert.ok(cluster.clocks || !clocks, scenario.name);
      assert.equal(volumeMegabytes, undefined, scenario.name);
    }
  });
});
