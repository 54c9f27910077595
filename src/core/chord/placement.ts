import { drawOf, keptParts } from './balance.ts';
import type { Position } from './identifiers.ts';

/** What the registry of block nodes says about where copies may lie. Part of what every node must know to name the same owners. */
export interface Placement {
  /** Whether the machine may own blocks. One that nobody has heard of may: it has just come. */
  takesBlocks(nodeId: string): boolean;
  /** Machines that can fail together share a name. */
  domainOf(nodeId: string): string;
  /** Whether the machine leaves the range that ends there to those behind it, because it has enough. */
  leaves(nodeId: string, rangeEnd: Position): boolean;
  /** Failure domains of all machines that may own blocks, as far as they are registered. Undefined: each is one of its own. */
  readonly domains: number | undefined;
  /** Machines that may own blocks, as far as they are registered. */
  readonly machines: number | undefined;
  /** Machines more than the number of copies that are looked at. */
  readonly spare: number;
}

/** Without a registry: every machine, each for itself. */
export const ANYWHERE: Placement = {
  takesBlocks: () => true,
  domainOf: (nodeId) => nodeId,
  leaves: () => false,
  domains: undefined,
  machines: undefined,
  spare: 0,
};

/** Of this many machines more than there are copies, some leave a range to others. */
const SPARE_MACHINES = 2;

export interface PlacedNode {
  readonly nodeId: string;
  /** Undefined: none was given. */
  readonly domain: string | undefined;
  readonly takesBlocks: boolean;
  /** Of its virtual nodes, for balance. */
  readonly positions?: readonly Position[];
}

/** `replicas`: copies of each block, for balance. Where failure domains are given, these decide and balance does not. */
export function placementOf(nodes: readonly PlacedNode[], replicas = 0): Placement {
  const byId = new Map(nodes.map((node) => [node.nodeId, node]));
  const domainOf = (nodeId: string): string => domainName(nodeId, byId.get(nodeId)?.domain);
  const taking = nodes.filter((node) => node.takesBlocks);
  const given = taking.some((node) => node.domain !== undefined);
  const places = taking.flatMap(({ nodeId, positions = [] }) =>
    positions.map((position) => ({ position, nodeId })),
  );
  const kept = given || replicas === 0 ? new Map<string, number>() : keptParts(places, replicas);
  return {
    takesBlocks: (nodeId) => byId.get(nodeId)?.takesBlocks !== false,
    domainOf,
    leaves: (nodeId, rangeEnd) => {
      const part = kept.get(nodeId) ?? 1;
      return part < 1 && drawOf(rangeEnd, nodeId) >= part;
    },
    domains: given ? new Set(taking.map((node) => domainOf(node.nodeId))).size : undefined,
    machines: nodes.length === 0 ? undefined : taking.length,
    spare: kept.size === 0 ? 0 : SPARE_MACHINES,
  };
}

/** A machine without a domain is one of its own, which no configured name can be. */
function domainName(nodeId: string, domain: string | undefined): string {
  return domain === undefined ? `node ${nodeId}` : `domain ${domain}`;
}

/**
 * Collects the owners of a range in ring order: the first machine of each domain that does not leave the range to others, and once
 * there are no more, the machines passed over.
 */
export class OwnerChoice<M extends { readonly nodeId: string }> {
  readonly #placement: Placement;
  readonly #count: number;
  readonly #rangeEnd: Position;
  readonly #seen = new Set<string>();
  readonly #domains = new Set<string>();
  /** Distinct machines that may own blocks, in order. */
  readonly #candidates: { readonly member: M; readonly first: boolean }[] = [];

  constructor(placement: Placement, count: number, rangeEnd: Position) {
    this.#placement = placement;
    this.#count = count;
    this.#rangeEnd = rangeEnd;
  }

  /** The next member clockwise. */
  take(member: M): void {
    const { nodeId } = member;
    if (this.#seen.has(nodeId)) return;
    this.#seen.add(nodeId);
    if (!this.#placement.takesBlocks(nodeId)) return;
    const domain = this.#placement.domainOf(nodeId);
    const first = !this.#domains.has(domain) && !this.#placement.leaves(nodeId, this.#rangeEnd);
    if (first) this.#domains.add(domain);
    this.#candidates.push({ member, first });
  }

  /** Nothing that follows can change the choice. */
  get settled(): boolean {
    const { domains, machines, spare } = this.#placement;
    const seen = this.#candidates.length;
    if (this.#domains.size >= this.#count) return true;
    if (machines !== undefined && seen >= machines) return true;
    if (spare > 0) return seen >= this.#count + spare;
    return domains !== undefined && this.#domains.size >= domains && seen >= this.#count;
  }

  /** In ring order; fewer than wanted when there were fewer machines. */
  get owners(): readonly M[] {
    let passedOver = this.#count - Math.min(this.#count, this.#domains.size);
    let firsts = this.#count;
    return this.#candidates.flatMap(({ member, first }) => {
      if (first) return firsts-- > 0 ? [member] : [];
      return passedOver-- > 0 ? [member] : [];
    });
  }
}
