import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { seededRandom } from '../../../../src/base/random.ts';
import type { Position } from '../../../../src/core/chord/identifiers.ts';
import { ownersOf, PLACEMENT_MEMBERS_MAX } from '../../../../src/core/chord/owners.ts';
import { type PlacedNode, type Placement, placementOf } from '../../../../src/core/chord/placement.ts';
import type { Member } from '../../../../src/core/chord/types.ts';
import { machine, membersOf, positionOf } from '../../../support/static-ring.ts';

/** As a client does: from node to node until one knows. */
function ask(
  members: readonly Member[],
  start: string,
  key: Position,
  { count, placement, length }: { count: number; placement?: Placement; length: number },
): string[] {
  let asked = start;
  for (let hops = 0; hops < members.length; hops++) {
    const answer = ownersOf(machine(members, asked, length), key, count, placement);
    if (answer.done) return answer.owners.map((m) => m.nodeId);
    asked = answer.nextHop.nodeId;
  }
  throw new Error('the lookup does not end');
}

/** By the definition, with the whole ring in view. */
function expected(
  members: readonly Member[],
  key: Position,
  nodes: readonly PlacedNode[],
  count: number,
): string[] {
  const at = Math.max(
    0,
    members.findIndex((m) => m.position >= key),
  );
  const window = [...members.slice(at), ...members.slice(0, at)].slice(0, PLACEMENT_MEMBERS_MAX);
  const byId = new Map(nodes.map((node) => [node.nodeId, node]));
  const order = [...new Set(window.map((m) => m.nodeId))].filter((id) => byId.get(id)?.takesBlocks !== false);
  const domain = (id: string): string => byId.get(id)?.domain ?? `\n${id}`;
  const firsts = order.filter((id, i) => order.findIndex((other) => domain(other) === domain(id)) === i);
  const chosen = new Set(firsts.slice(0, count));
  for (const id of order) if (chosen.size < count) chosen.add(id);
  return order.filter((id) => chosen.has(id));
}

const rack = (nodeId: string, domain: string | undefined, takesBlocks = true): PlacedNode => ({
  nodeId,
  domain,
  takesBlocks,
});

describe('placement', () => {
  it('is the same whoever is asked, and as defined, for any ring, domains and drained nodes', () => {
    const node = fc.record({
      domain: fc.option(fc.constantFrom('r1', 'r2', 'r3', 'r4'), { nil: undefined }),
      takesBlocks: fc.boolean(),
    });
    const property = fc.property(
      fc.array(node, { minLength: 1, maxLength: 8 }),
      fc.integer({ min: 1, max: 6 }),
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 0, max: 1000 }),
      (kinds, virtualNodes, count, salt) => {
        const placed = kinds.map((kind, i) => ({ nodeId: `n${i}`, ...kind }));
        const members = membersOf(
          placed.map((p) => p.nodeId),
          virtualNodes,
        );
        const placement = placementOf(placed);
        const key = positionOf(`key ${salt}`);
        const wanted = expected(members, key, placed, count);
        for (const { nodeId } of placed) {
          assert.deepEqual(ask(members, nodeId, key, { count, placement, length: members.length }), wanted);
        }
      },
    );
    fc.assert(property, { seed: 5, numRuns: 300 });
  });

  it('with lists that show only a part of the ring all still name the same', () => {
    const names = Array.from({ length: 30 }, (_, i) => `n${i}`);
    const members = membersOf(names, 16);
    const placed = names.map((id, i) => rack(id, `r${i % 3}`, i !== 7));
    const placement = placementOf(placed);
    for (let i = 0; i < 60; i++) {
      const key = positionOf(`block ${i}`);
      const wanted = expected(members, key, placed, 3);
      for (const start of ['n0', 'n7', 'n29']) {
        assert.deepEqual(ask(members, start, key, { count: 3, placement, length: 40 }), wanted);
      }
    }
  });

  it('spreads copies over different domains where there are enough', () => {
    const names = Array.from({ length: 9 }, (_, i) => `n${i}`);
    const members = membersOf(names, 8);
    const placement = placementOf(names.map((id, i) => rack(id, `r${i % 3}`)));
    for (let i = 0; i < 200; i++) {
      const owners = ask(members, 'n0', positionOf(`b${i}`), { count: 3, placement, length: 71 });
      assert.equal(new Set(owners.map((id) => Number(id.slice(1)) % 3)).size, 3, owners.join());
    }
  });

  it('with fewer domains than copies still uses distinct nodes, and every domain', () => {
    const names = ['a', 'b', 'c', 'd'];
    const members = membersOf(names, 8);
    const placement = placementOf([rack('a', 'x'), rack('b', 'x'), rack('c', 'x'), rack('d', 'y')]);
    for (let i = 0; i < 100; i++) {
      const owners = ask(members, 'a', positionOf(`b${i}`), { count: 3, placement, length: 31 });
      assert.equal(new Set(owners).size, 3);
      assert.ok(owners.includes('d'), 'the other domain has a copy');
    }
  });

  it('a node without a domain is one of its own, and one that nobody has heard of takes blocks', () => {
    const placement = placementOf([
      rack('a', undefined),
      rack('b', 'x'),
      rack('c', 'x'),
      rack('d', 'x', false),
    ]);
    assert.equal(placement.domains, 2);
    assert.notEqual(placement.domainOf('a'), placement.domainOf('new'));
    assert.equal(placement.domainOf('b'), placement.domainOf('c'));
    assert.deepEqual(
      ['a', 'd', 'new'].map((id) => placement.takesBlocks(id)),
      [true, false, true],
    );
    assert.equal(placementOf([rack('a', undefined)]).domains, undefined);
  });

  it('draining a node moves only what it had: all other copies stay where they are', () => {
    const names = Array.from({ length: 6 }, (_, i) => `n${i}`);
    const members = membersOf(names, 16);
    const all = placementOf(names.map((id) => rack(id, undefined)));
    const without = placementOf(names.map((id) => rack(id, undefined, id !== 'n2')));
    const random = seededRandom(3);
    for (let i = 0; i < 200; i++) {
      const key = positionOf(`b${random.next()}`);
      const before = ask(members, 'n0', key, { count: 3, placement: all, length: 95 });
      const after = ask(members, 'n0', key, { count: 3, placement: without, length: 95 });
      assert.equal(after.includes('n2'), false);
      for (const id of before) assert.ok(id === 'n2' || after.includes(id));
      if (!before.includes('n2')) assert.deepEqual(after, before);
    }
  });
});
