import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { positionOf, RingSimulation } from './ring-simulation.ts';

const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `n${i + 1}`);

/** Joins, leaves, crashes of fewer machines than a successor list names, restarts, partitions: then one ring. */
function churn(seed: number): RingSimulation {
  const sim = new RingSimulation({ seed, virtualNodes: 1 + (seed % 5) });
  const check = (): void => {
    const violation = sim.invariantViolation();
    if (violation !== undefined) throw new Error(`seed ${seed}: ${violation}`);
  };
  const all = names(8);
  for (const name of all.slice(0, 4)) sim.start(name);
  sim.run(4000, check);
  for (let step = 0; step < 8; step++) {
    const { alive } = sim;
    const dead = all.filter((name) => !alive.includes(name));
    const choice = sim.random.next();
    if (choice < 0.4 && dead.length > 0) sim.start(dead[sim.random.below(dead.length)]!);
    else if (choice < 0.6 && alive.length > 3) sim.crash(alive[sim.random.below(alive.length)]!);
    else if (choice < 0.75 && alive.length > 3) sim.leave(alive[sim.random.below(alive.length)]!);
    else if (choice < 0.85) {
      const half = alive.filter(() => sim.random.next() < 0.5);
      sim.partition([half, all.filter((name) => !half.includes(name))]);
      sim.run(3000 + sim.random.below(4000), check);
      sim.heal();
    }
    sim.run(sim.random.below(6000), check);
  }
  sim.heal();
  sim.run(200, check);
  sim.runUntilIdeal(180_000);
  return sim;
}

describe('chord simulation', () => {
  it('three machines that start together are one ring within three seconds', () => {
    for (let seed = 1; seed <= 10; seed++) {
      const sim = new RingSimulation({ seed, virtualNodes: 32 });
      for (const name of names(3)) sim.start(name);
      const ms = sim.runUntilIdeal(3000);
      assert.ok(ms <= 3000);
    }
  });

  it('is quiet when nothing happens', () => {
    const sim = new RingSimulation({ seed: 1, virtualNodes: 32 });
    for (const name of names(3)) sim.start(name);
    sim.run(30_000);
    const before = sim.messages;
    sim.run(60_000);
    const perSecond = (sim.messages - before) / 60;
    assert.ok(perSecond < 60, `${perSecond} messages a second`);
  });

  it('a fourth machine is in the ring within three seconds, and a crashed one out of it', () => {
    for (let seed = 1; seed <= 5; seed++) {
      const sim = new RingSimulation({ seed, virtualNodes: 32 });
      for (const name of names(3)) sim.start(name);
      sim.run(10_000);
      sim.start('n4');
      sim.runUntilIdeal(3000);
      sim.run(5000);
      sim.crash('n2');
      sim.runUntilIdeal(5000);
    }
  });

  it('the halves of a partition are rings of their own, and merge after it', () => {
    for (let seed = 1; seed <= 5; seed++) {
      const sim = new RingSimulation({ seed, virtualNodes: 8 });
      const all = names(6);
      for (const name of all) sim.start(name);
      sim.runUntilIdeal(10_000);
      const [a, b] = [all.slice(0, 3), all.slice(3)];
      sim.partition([a, b]);
      sim.run(1000);
      sim.runUntilIdeal(30_000, a);
      sim.runUntilIdeal(30_000, b);
      sim.heal();
      sim.runUntilIdeal(120_000);
    }
  });

  it('churn ends in one ideal ring, and every seed gives the same trace twice', () => {
    for (let seed = 1; seed <= 25; seed++) assert.equal(churn(seed).digest(), churn(seed).digest());
  });

  it('finds the owners in a ring larger than the successor lists', () => {
    const sim = new RingSimulation({ seed: 4, virtualNodes: 2 });
    const all = names(40);
    for (const name of all) sim.start(name);
    sim.run(20_000);
    sim.runUntilIdeal(60_000);
    sim.run(20_000);
    const members = all
      .flatMap((n) => [...sim.core(n).ownMembers])
      .sort((x, y) => (x.position < y.position ? -1 : 1));
    for (let i = 0; i < 200; i++) {
      const key = positionOf(`key ${i}`);
      const at = members.findIndex((m) => m.position >= key);
      const order = [...members.slice(Math.max(0, at)), ...members.slice(0, Math.max(0, at))];
      const expected = [...new Set(order.map((m) => m.nodeId))].slice(0, 3);
      let answer = sim.core(all[i % all.length]!).owners(key, 3);
      let hops = 0;
      while (!answer.done) {
        assert.ok(++hops < 8, `key ${i} needs too many hops`);
        answer = sim.core(answer.nextHop.nodeId).owners(key, 3);
      }
      assert.deepEqual(
        answer.owners.map((m) => m.nodeId),
        expected,
      );
    }
  });
});
