import type { BlockId } from '../../../src/base/ids.ts';
import { virtualPositions } from '../../../src/block/virtual-positions.ts';
import { toPosition } from '../../../src/core/chord/identifiers.ts';
import { PLACEMENT_MEMBERS_MAX } from '../../../src/core/chord/owners.ts';
import { OwnerChoice, type Placement, placementOf } from '../../../src/core/chord/placement.ts';
import type { Member } from '../../../src/core/chord/types.ts';
import { takesBlocks } from '../../../src/core/namespace/block-nodes.ts';
import type { BlockNodeState } from '../../../src/gen/ringfs/v1/meta.ts';
import type { SimNode } from './node.ts';

/** Where every block belongs when the ring of `nodes` is whole and all of them have the same registry. */
export class Places {
  readonly #placement: Placement;
  readonly #members: readonly Member[];
  readonly #nodes: ReadonlyMap<string, SimNode>;
  readonly #replicas: number;

  constructor(nodes: readonly SimNode[], registry: readonly BlockNodeState[], replicas: number) {
    this.#replicas = replicas;
    this.#nodes = new Map(nodes.map((node) => [node.name, node]));
    const placed = registry.flatMap((state) => {
      if (state.info === undefined) return [];
      const { id, domain, virtualNodes } = state.info;
      const positions = virtualPositions(id, virtualNodes);
      return [{ nodeId: id, domain, takesBlocks: takesBlocks(state), positions }];
    });
    placed.sort((a, b) => (a.nodeId < b.nodeId ? -1 : 1));
    this.#placement = placementOf(placed, replicas);
    this.#members = nodes
      .flatMap(({ name, address, positions }) =>
        positions.map((position): Member => ({ position, nodeId: name, address })),
      )
      .sort((a, b) => (a.position < b.position ? -1 : 1));
  }

  /** Nodes that blocks may lie on. */
  get taking(): readonly SimNode[] {
    return [...this.#nodes.values()].filter(({ name }) => this.#placement.takesBlocks(name));
  }

  domainOf({ name }: SimNode): string {
    return this.#placement.domainOf(name);
  }

  ownersOf(id: BlockId): readonly SimNode[] {
    const key = toPosition(id);
    const members = this.#members;
    const at = Math.max(
      0,
      members.findIndex(({ position }) => position >= key),
    );
    const choice = new OwnerChoice<Member>(this.#placement, this.#replicas, members[at]!.position);
    for (let i = 0; i < Math.min(members.length, PLACEMENT_MEMBERS_MAX) && !choice.settled; i++) {
      choice.take(members[(at + i) % members.length]!);
    }
    return choice.owners.map(({ nodeId }) => this.#nodes.get(nodeId)!);
  }
}
