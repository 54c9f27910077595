/** What the registry of block nodes says about where copies may lie. Part of what every node must know to name the same owners. */
export interface Placement {
  /** Whether the machine may own blocks. One that nobody has heard of may: it has just come. */
  takesBlocks(nodeId: string): boolean;
  /** Machines that can fail together share a name. */
  domainOf(nodeId: string): string;
  /** Failure domains of all machines that may own blocks, as far as they are registered. Undefined: each is one of its own. */
  readonly domains: number | undefined;
  /** Machines that may own blocks, as far as they are registered. */
  readonly machines: number | undefined;
}

/** Without a registry: every machine, each for itself. */
export const ANYWHERE: Placement = {
  takesBlocks: () => true,
  domainOf: (nodeId) => nodeId,
  domains: undefined,
  machines: undefined,
};

export interface PlacedNode {
  readonly nodeId: string;
  /** Undefined: none was given. */
  readonly domain: string | undefined;
  readonly takesBlocks: boolean;
}

export function placementOf(nodes: readonly PlacedNode[]): Placement {
  const byId = new Map(nodes.map((node) => [node.nodeId, node]));
  const domainOf = (nodeId: string): string => domainName(nodeId, byId.get(nodeId)?.domain);
  const taking = nodes.filter((node) => node.takesBlocks);
  const given = taking.some((node) => node.domain !== undefined);
  return {
    takesBlocks: (nodeId) => byId.get(nodeId)?.takesBlocks !== false,
    domainOf,
    domains: given ? new Set(taking.map((node) => domainOf(node.nodeId))).size : undefined,
    machines: nodes.length === 0 ? undefined : taking.length,
  };
}

/** A machine without a domain is one of its own, which no configured name can be. */
function domainName(nodeId: string, domain: string | undefined): string {
  return domain === undefined ? `node ${nodeId}` : `domain ${domain}`;
}

/** Collects owners in ring order: the first machine of each domain, and once there are no more domains, the machines passed over. */
export class OwnerChoice<M extends { readonly nodeId: string }> {
  readonly #placement: Placement;
  readonly #count: number;
  readonly #seen = new Set<string>();
  readonly #domains = new Set<string>();
  /** Distinct machines that may own blocks, in order. */
  readonly #candidates: { readonly member: M; readonly first: boolean }[] = [];

  constructor(placement: Placement, count: number) {
    this.#placement = placement;
    this.#count = count;
  }

  /** The next member clockwise. */
  take(member: M): void {
    if (this.#seen.has(member.nodeId)) return;
    this.#seen.add(member.nodeId);
    if (!this.#placement.takesBlocks(member.nodeId)) return;
    const domain = this.#placement.domainOf(member.nodeId);
    const first = !this.#domains.has(domain);
    this.#domains.add(domain);
    this.#candidates.push({ member, first });
  }

  /** Nothing that follows can change the choice. */
  get settled(): boolean {
    const { domains, machines } = this.#placement;
    if (this.#domains.size >= this.#count) return true;
    if (machines !== undefined && this.#candidates.length >= machines) return true;
    return domains !== undefined && this.#domains.size >= domains && this.#candidates.length >= this.#count;
  }

  /** In ring order; fewer than wanted when there were fewer machines. */
  get owners(): readonly M[] {
    let spare = this.#count - Math.min(this.#count, this.#domains.size);
    let firsts = this.#count;
    return this.#candidates.flatMap(({ member, first }) => {
      if (first) return firsts-- > 0 ? [member] : [];
      return spare-- > 0 ? [member] : [];
    });
  }
}
