import type { BlockId } from '../../../src/base/ids.ts';
import type { BlockEntry } from '../../../src/ports/block-store.ts';
import { Violation, type World } from '../harness/world.ts';
import type { SimMetadata } from './metadata.ts';
import type { SimNode } from './node.ts';
import type { BlocksCounts } from './options.ts';
import { Places } from './places.ts';

/** A node that drops a copy has asked the owners for theirs not longer ago. */
const VOUCHED_MS_MAX = 15_000;

export interface CopyChecksComponents {
  readonly world: World;
  readonly counts: BlocksCounts;
  readonly metadata: SimMetadata;
  /** All that there ever were. */
  readonly nodes: () => readonly SimNode[];
  readonly hasGood: (node: SimNode, id: BlockId) => boolean;
}

/** Whether the copies of blocks are where they belong. */
export class CopyChecks {
  readonly #c: CopyChecksComponents;
  readonly #replicas: number;

  constructor(components: CopyChecksComponents, replicas: number) {
    this.#c = components;
    this.#replicas = replicas;
  }

  /**
   * A node has dropped a copy: as many others have one as there are to be, of the same index at least, but for those that have lost it
   * otherwise since they vouched for it.
   */
  onDrop(node: SimNode, { id, uploadedAt }: BlockEntry): void {
    const { world, counts, nodes } = this.#c;
    counts.dropped++;
    world.trace(`${node.name} drops its copy of ${id.slice(0, 6)} with ${uploadedAt}`);
    const sinceMs = world.nowMs - VOUCHED_MS_MAX;
    const others = nodes().filter((other) => {
      if (other === node) return false;
      const { disk } = other;
      return disk.goneAtMs(id) >= sinceMs || (disk.has(id) && disk.content.uploadedAt.get(id)! >= uploadedAt);
    });
    if (others.length >= this.#replicas) return;
    const names = others.map(({ name }) => name).join();
    const what = `${node.name} dropped ${id.slice(0, 6)} with ${uploadedAt}, which only ${names || 'nobody'} had`;
    world.fail(new Violation('surplus', what));
  }

  /** A copy of a block that files refer to on a node that takes blocks and does not own it. */
  surplus(): string | undefined {
    const places = this.#places();
    for (const id of this.#c.metadata.referenced()) {
      const owners = places.ownersOf(id);
      if (owners.length < this.#replicas) continue;
      const extra = places.taking.find((node) => !owners.includes(node) && node.disk.has(id));
      if (extra !== undefined) return `${extra.name} keeps ${id.slice(0, 6)}, which it does not own`;
    }
    return undefined;
  }

  /** What is not where it belongs. */
  lacking(): string | undefined {
    const replicas = this.#replicas;
    const places = this.#places();
    const { taking } = places;
    const domains = new Set(taking.map((node) => places.domainOf(node))).size;
    for (const id of this.#c.metadata.referenced()) {
      const owners = places.ownersOf(id);
      const without = owners.find((node) => !this.#c.hasGood(node, id));
      if (without !== undefined) return `${without.name} lacks a good copy of ${id.slice(0, 6)}`;
      if (owners.length < Math.min(replicas, taking.length)) return `${id.slice(0, 6)} has too few owners`;
      const apart = new Set(owners.map((node) => places.domainOf(node))).size;
      if (apart < Math.min(replicas, domains)) return `${id.slice(0, 6)} is in ${apart} failure domains`;
    }
    return undefined;
  }

  #places(): Places {
    const members = this.#c.nodes().filter(({ isMember }) => isMember);
    return new Places(members, this.#c.metadata.registry(), this.#replicas);
  }
}
