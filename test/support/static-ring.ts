import { createHash } from 'node:crypto';
import { type Position, toPosition } from '../../src/core/chord/identifiers.ts';
import type { Member } from '../../src/core/chord/types.ts';
import { type VirtualNode, virtualNode } from '../../src/core/chord/virtual-node.ts';

/** Rings that stand still, as their machines know them. */

export const positionOf = (text: string): Position =>
  toPosition(createHash('sha256').update(text).digest('hex'));

/** The virtual nodes of all machines in ring order, `virtualNodes` of each or as many as that says. */
export function membersOf(
  nodes: readonly string[],
  virtualNodes: number | ((index: number) => number),
): Member[] {
  return nodes
    .flatMap((nodeId, i) =>
      Array.from({ length: typeof virtualNodes === 'number' ? virtualNodes : virtualNodes(i) }, (_, k) => ({
        position: positionOf(`${nodeId}/${k}`),
        nodeId,
        address: nodeId,
      })),
    )
    .sort((a, b) => (a.position < b.position ? -1 : 1));
}

/** The virtual nodes of one machine with successor lists of `length` members. */
export function machine(members: readonly Member[], nodeId: string, length: number): VirtualNode[] {
  return members.flatMap((self, at) => {
    if (self.nodeId !== nodeId) return [];
    const node = virtualNode(self, 0, 0);
    const others = Array.from(
      { length: members.length - 1 },
      (_, i) => members[(at + 1 + i) % members.length]!,
    );
    node.successors = { members: others.slice(0, length), whole: length >= others.length };
    return [node];
  });
}
