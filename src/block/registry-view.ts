import { type Placement, placementOf } from '../core/chord/placement.ts';
import { takesBlocks } from '../core/namespace/block-nodes.ts';
import type { BlockNodeState } from '../gen/ringfs/v1/meta.ts';
import type { Logger } from '../ports/logger.ts';
import { virtualPositions } from './virtual-positions.ts';

export interface RegistryViewOptions {
  readonly nodeId: string;
  readonly replicas: number;
}

/** What this node knows of the registry of block nodes: who takes blocks, in which failure domains, and its own part. */
export class RegistryView {
  readonly #logger: Logger;
  readonly #options: RegistryViewOptions;
  #key = '';
  #nodes: readonly BlockNodeState[] = [];
  #shared = false;

  constructor(components: { readonly logger: Logger }, options: RegistryViewOptions) {
    this.#logger = components.logger;
    this.#options = options;
  }

  /** Returns where blocks may lie, if that is news. */
  update(nodes: readonly BlockNodeState[]): Placement | undefined {
    this.#nodes = nodes;
    this.#checkDomains();
    const placed = nodes.flatMap((node) => {
      if (node.info === undefined) return [];
      const { id, virtualNodes } = node.info;
      return [{ nodeId: id, domain: domainOf(node), takesBlocks: takesBlocks(node), virtualNodes }];
    });
    placed.sort((a, b) => (a.nodeId < b.nodeId ? -1 : 1));
    const key = JSON.stringify(placed.map((node) => Object.values(node)));
    if (key === this.#key) return undefined;
    this.#key = key;
    const located = placed.map(({ virtualNodes, ...node }) => ({
      ...node,
      positions: virtualPositions(node.nodeId, virtualNodes),
    }));
    return placementOf(located, this.#options.replicas);
  }

  /** Highest placed_at of the rows. */
  get placedAt(): number {
    return this.#nodes.reduce((max, node) => Math.max(max, node.placedAt ?? 0), 0);
  }

  get own(): BlockNodeState | undefined {
    return this.#nodes.find((node) => node.info?.id === this.#options.nodeId);
  }

  /** Whether the node is alive and its copies count, as far as the metadata leader knew when it answered the last report. */
  serves(nodeId: string): boolean {
    const node = this.#nodes.find(({ info }) => info?.id === nodeId);
    return node?.alive === true && takesBlocks(node);
  }

  /** The registry has been heard since this node started. */
  get known(): boolean {
    return this.#nodes.length > 0;
  }

  /** Owners that a block has at least once the ring is whole. */
  get ownersExpected(): number {
    return Math.min(this.#options.replicas, this.#taking().length);
  }

  /** Failure domains of the living nodes that take blocks; undefined when nobody has named one. */
  get domains(): number | undefined {
    const taking = this.#taking();
    if (!taking.some((node) => domainOf(node) !== undefined)) return undefined;
    return new Set(taking.map((node) => domainOf(node) ?? `\n${node.info?.id}`)).size;
  }

  #taking(): BlockNodeState[] {
    return this.#nodes.filter((node) => node.alive && takesBlocks(node));
  }

  #checkDomains(): void {
    const { domains } = this;
    const shared = domains !== undefined && domains < this.#options.replicas;
    if (shared === this.#shared) return;
    this.#shared = shared;
    const fields = { domains, replicas: this.#options.replicas };
    if (shared) this.#logger.warn(fields, 'fewer failure domains than copies: some copies share a domain');
    else this.#logger.info(fields, 'copies are in different failure domains');
  }
}

function domainOf({ info }: BlockNodeState): string | undefined {
  return info?.domain === '' ? undefined : info?.domain;
}
