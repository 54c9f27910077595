import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { drawOf, keptParts } from '../../../../src/core/chord/balance.ts';
import { arcFraction } from '../../../../src/core/chord/identifiers.ts';
import { ownersOf } from '../../../../src/core/chord/owners.ts';
import { placementOf } from '../../../../src/core/chord/placement.ts';
import { reconcile, type SuccessorListRules } from '../../../../src/core/chord/successor-list.ts';
import { CHORD_LIMITS } from '../../../../src/core/chord/types.ts';
import { machine, membersOf, positionOf } from '../../../support/static-ring.ts';

const REPLICAS = 3;
const RINGS = 100;

interface Ring {
  readonly seed: number;
  readonly nodes: number;
  readonly virtualNodes: (index: number) => number;
  readonly balanced?: boolean;
}

/** What each node holds of all keys, relative to what its virtual nodes are worth. */
function loads({ seed, nodes, virtualNodes, balanced = true }: Ring): number[] {
  const names = Array.from({ length: nodes }, (_, i) => `ring ${seed} node ${i}`);
  const members = membersOf(names, virtualNodes);
  const placed = names.map((nodeId, i) => ({
    nodeId,
    domain: undefined,
    takesBlocks: true,
    positions: members.filter((m) => m.nodeId === nodeId).map((m) => m.position),
    virtualNodes: virtualNodes(i),
  }));
  const placement = placementOf(placed, balanced ? REPLICAS : 0);
  const own = machine(members, names[0]!, members.length);
  const held = new Map<string, number>();
  for (const [i, { position }] of members.entries()) {
    const answer = ownersOf(own, position, REPLICAS, placement);
    assert.ok(answer.done && answer.owners.length === REPLICAS);
    const arc = arcFraction(members[(i + members.length - 1) % members.length]!.position, position);
    for (const { nodeId } of answer.owners) held.set(nodeId, (held.get(nodeId) ?? 0) + arc);
  }
  return placed.map((p) => {
    const due = (REPLICAS * p.virtualNodes) / members.length;
    return (held.get(p.nodeId) ?? 0) / due;
  });
}

describe('balance', () => {
  /** The fullest node of each of many rings, in order. */
  const fullest = (ring: Omit<Ring, 'seed'>): number[] =>
    Array.from({ length: RINGS }, (_, seed) => Math.max(...loads({ ...ring, seed }))).sort((a, b) => a - b);
  const figure = (sorted: readonly number[]): string =>
    `median ${sorted[RINGS / 2]!.toFixed(2)}, worst of ${RINGS} rings ${sorted.at(-1)!.toFixed(2)}`;

  it('of ten nodes of equal capacity the fullest holds at most 1.25 times the mean', (t) => {
    const sorted = fullest({ nodes: 10, virtualNodes: () => 32 });
    const alone = fullest({ nodes: 10, virtualNodes: () => 32, balanced: false });
    t.diagnostic(
      `fullest of 10 nodes, times the mean: ${figure(sorted)}; by position alone: ${figure(alone)}`,
    );
    assert.ok(sorted.at(-1)! <= 1.25, figure(sorted));
    assert.ok(alone.at(-1)! > 1.25, 'by position alone it would not hold');
  });

  it('nodes of different capacity hold blocks in proportion to their virtual nodes', (t) => {
    const sorted = fullest({ nodes: 12, virtualNodes: (i) => [16, 32, 64][i % 3]! });
    t.diagnostic(`fullest of 12 nodes of 1, 2 and 4 times the capacity: ${figure(sorted)}`);
    assert.ok(sorted[RINGS / 2]! <= 1.25, figure(sorted));
  });

  it('as many nodes as copies keep everything, and one node more is shared fairly', () => {
    for (const load of loads({ seed: 1, nodes: 3, virtualNodes: () => 8 }))
      assert.ok(Math.abs(load - 1) < 1e-9);
    const four = loads({ seed: 1, nodes: 4, virtualNodes: () => 32 });
    assert.ok(Math.max(...four) <= 1.25, four.join());
  });

  it('with the successor lists that nodes have, all still name the same', () => {
    for (const [nodes, virtualNodes] of [
      [5, 32],
      [8, 32],
      [30, 8],
    ] as const) {
      const names = Array.from({ length: nodes }, (_, i) => `node ${i}`);
      const members = membersOf(names, virtualNodes);
      const placed = names.map((nodeId) => {
        const positions = members.filter((m) => m.nodeId === nodeId).map((m) => m.position);
        return { nodeId, domain: undefined, takesBlocks: nodeId !== 'node 1', positions };
      });
      const placement = placementOf(placed, REPLICAS);
      const rules: SuccessorListRules = {
        limits: CHORD_LIMITS,
        distinctNodes: REPLICAS + 1,
        isExcluded: () => false,
        own: [],
        placement,
      };
      const views = new Map(
        names.map((name) => {
          const own = machine(members, name, members.length);
          for (const node of own) {
            const { position } = node.self;
            node.successors = reconcile(position, [...node.successors.members, node.self], rules);
          }
          return [name, own];
        }),
      );
      const whole = machine(members, 'node 0', members.length);
      for (let i = 0; i < 300; i++) {
        const key = positionOf(`block ${i}`);
        const wanted = ownersOf(whole, key, REPLICAS, placement);
        assert.ok(wanted.done && wanted.owners.length === REPLICAS);
        let asked = names[i % nodes]!;
        for (let hops = 0; ; hops++) {
          assert.ok(hops < 16, 'the lookup ends');
          const answer = ownersOf(views.get(asked)!, key, REPLICAS, placement);
          if (answer.done) {
            assert.deepEqual(answer, wanted);
            break;
          }
          asked = answer.nextHop.nodeId;
        }
      }
    }
  });

  it('every part is in (0, 1], one machine keeps everything, and draws are spread evenly', () => {
    const members = membersOf(['a', 'b', 'c', 'd', 'e', 'f'], 32);
    const parts = [...keptParts(members, REPLICAS).values()];
    assert.equal(Math.max(...parts), 1);
    assert.ok(Math.min(...parts) > 0.3);
    const draws = Array.from({ length: 4000 }, (_, i) => drawOf(positionOf(`p${i}`), `n${i % 7}`));
    for (const part of [0.1, 0.5, 0.9]) {
      const below = draws.filter((draw) => draw < part).length / draws.length;
      assert.ok(Math.abs(below - part) < 0.03, `${below} below ${part}`);
    }
    assert.ok(draws.every((draw) => draw >= 0 && draw < 1));
  });
});
