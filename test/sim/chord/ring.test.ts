import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CHORD_LIMITS } from '../../../src/core/chord/types.ts';
import { World } from '../harness/world.ts';
import { idealDefect, idealOwners, sortedMembers } from './checks.ts';
import { Machines, positionOf } from './machines.ts';
import { DEFAULTS, noCounts, type RingOptions } from './options.ts';

const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `n${i + 1}`);

/** Machines that do as the test says, over a network that only takes its time. */
class Scene {
  readonly machines: Machines;
  readonly counts = noCounts();
  readonly #world: World;
  readonly #options: RingOptions = { ...DEFAULTS, successorsMin: CHORD_LIMITS.successorsMin };
  readonly #virtualNodes: number;

  constructor(seed: number, virtualNodes: number) {
    this.#world = new World(seed);
    this.#virtualNodes = virtualNodes;
    this.machines = new Machines({ world: this.#world, counts: this.counts }, this.#options);
    this.machines.calm();
  }

  start(...nodeIds: string[]): void {
    for (const nodeId of nodeIds) this.machines.start(nodeId, this.#virtualNodes);
  }

  run(ms: number): void {
    const end = this.#world.nowMs + ms;
    while (this.#world.queue.runNext(end));
    this.#world.queue.now = end;
  }

  /** Throws with the first defect when the ring of these machines is not ideal in time. */
  untilIdeal(limitMs: number, nodeIds: readonly string[] = [...this.machines.alive.keys()]): void {
    const end = this.#world.nowMs + limitMs;
    for (;;) {
      const defect = idealDefect(
        nodeIds.map((nodeId) => this.machines.alive.get(nodeId)!),
        this.#options,
      );
      if (defect === undefined) return;
      assert.ok(this.#world.nowMs < end, `seed ${this.#world.seed}: ${defect}`);
      this.run(100);
    }
  }
}

describe('a Chord ring of machines', () => {
  it('is one three seconds after three machines have started together', () => {
    for (let seed = 1; seed <= 10; seed++) {
      const scene = new Scene(seed, 32);
      scene.start(...names(3));
      scene.untilIdeal(3_000);
    }
  });

  it('is quiet when nothing happens', () => {
    const scene = new Scene(1, 32);
    scene.start(...names(3));
    scene.run(30_000);
    const before = scene.counts.messages;
    scene.run(60_000);
    const perSecond = (scene.counts.messages - before) / 60;
    assert.ok(perSecond < 60, `${perSecond} messages a second`);
  });

  it('has a fourth machine within three seconds, and a crashed one no more', () => {
    for (let seed = 1; seed <= 5; seed++) {
      const scene = new Scene(seed, 32);
      scene.start(...names(3));
      scene.run(10_000);
      scene.start('n4');
      scene.untilIdeal(3_000);
      scene.run(5_000);
      scene.machines.crash('n2');
      scene.untilIdeal(5_000);
    }
  });

  it('is two rings while there is a partition, and one after it', () => {
    for (let seed = 1; seed <= 5; seed++) {
      const scene = new Scene(seed, 8);
      const all = names(6);
      scene.start(...all);
      scene.untilIdeal(10_000);
      const [a, b] = [all.slice(0, 3), all.slice(3)];
      scene.machines.partition([a, b]);
      scene.run(1_000);
      scene.untilIdeal(30_000, a);
      scene.untilIdeal(30_000, b);
      scene.machines.heal();
      scene.untilIdeal(120_000);
    }
  });

  it('finds the owners when it is larger than the successor lists', () => {
    const scene = new Scene(4, 2);
    const all = names(40);
    scene.start(...all);
    scene.run(20_000);
    scene.untilIdeal(60_000);
    scene.run(20_000);
    const { alive } = scene.machines;
    const members = sortedMembers([...alive.values()]);
    for (let i = 0; i < 200; i++) {
      const key = positionOf(`key ${i}`);
      let answer = alive.get(all[i % all.length]!)!.core.owners(key, 3);
      let hops = 0;
      while (!answer.done) {
        assert.ok(++hops < 8, `key ${i} needs too many hops`);
        answer = alive.get(answer.nextHop.nodeId)!.core.owners(key, 3);
      }
      const told = answer.owners.map((m) => m.nodeId);
      assert.deepEqual(told, idealOwners(members, key, 3));
    }
  });
});
