import type { BlockNodeState, Topology } from '../gen/ringfs/v1/meta.ts';

/** Addresses (host:port) of block nodes. */
export function addressesOf(nodes: readonly BlockNodeState[]): readonly string[] {
  return nodes.flatMap(({ info }) => (info === undefined ? [] : [info.address]));
}

/** Addresses of the living block nodes, or of all: a follower does not know who is. */
export function livingOf({ blockNodes }: Pick<Topology, 'blockNodes'>): readonly string[] {
  const living = blockNodes.filter((node) => node.alive);
  return addressesOf(living.length > 0 ? living : blockNodes);
}
