import { arcFraction, type Position } from './identifiers.ts';

/** A virtual node as the registry knows it: whether its machine is in the ring now does not matter. */
export interface Place {
  readonly position: Position;
  readonly nodeId: string;
}

/**
 * The part of its ranges that each machine keeps so that none holds much more than its virtual nodes are worth; the rest it leaves
 * to the machines behind it. Random positions alone give the fullest of ten machines with 32 virtual nodes up to a third more than
 * the mean. Depends on nothing but the arguments; all nodes have the same.
 */
export function keptParts(places: readonly Place[], replicas: number): ReadonlyMap<string, number> {
  const sorted = [...places].sort((a, b) => (a.position < b.position ? -1 : 1));
  const counts = new Map<string, number>();
  for (const { nodeId } of sorted) counts.set(nodeId, (counts.get(nodeId) ?? 0) + 1);
  // With so few, each has everything.
  if (counts.size <= replicas) return new Map();
  const loads = loadsOf(sorted, replicas);
  const parts = new Map<string, number>();
  for (const [nodeId, count] of counts) {
    const due = Math.min(1, (replicas * count) / sorted.length);
    parts.set(nodeId, Math.min(1, due / (loads.get(nodeId) ?? due)));
  }
  const most = Math.max(...parts.values());
  return new Map([...parts].map(([nodeId, part]) => [nodeId, part / most]));
}

/** The part of all keys that each machine has if it keeps everything. */
function loadsOf(sorted: readonly Place[], replicas: number): Map<string, number> {
  const loads = new Map<string, number>();
  for (const [i, { position }] of sorted.entries()) {
    const previous = sorted[(i + sorted.length - 1) % sorted.length]!;
    const arc = arcFraction(previous.position, position);
    const owners = new Set<string>();
    for (let k = 0; owners.size < replicas && k < sorted.length; k++)
      owners.add(sorted[(i + k) % sorted.length]!.nodeId);
    for (const nodeId of owners) loads.set(nodeId, (loads.get(nodeId) ?? 0) + arc);
  }
  return loads;
}

/** A number in [0, 1) from a range and a machine: FNV-1a with a finish that spreads the last bits. */
export function drawOf(rangeEnd: Position, nodeId: string): number {
  let hash = 0x811c9dc5;
  for (const text of [rangeEnd, nodeId]) {
    for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}
