import { isBetween, type Position } from '../../../src/core/chord/identifiers.ts';
import type { Member } from '../../../src/core/chord/types.ts';
import type { VirtualNode } from '../../../src/core/chord/virtual-node.ts';
import type { Machine } from './machines.ts';
import type { RingOptions } from './options.ts';

const nameOf = ({ nodeId, position }: Member): string => `${nodeId}:${position.slice(0, 6)}`;

/** What holds of a machine's lists in every state: ordered, without the node itself, never without a way on. */
export function localDefect({ core }: Machine): string | undefined {
  for (const { self, predecessor, successors } of core.virtualNodes) {
    const name = nameOf(self);
    if (predecessor?.position === self.position) return `${name} is its own predecessor`;
    if (successors.members.length === 0 && core.virtualNodes.length > 1) return `${name} has no successor`;
    let before = self;
    for (const member of successors.members) {
      if (member.position === self.position) return `${name} is in its own list`;
      if (before !== self && !isBetween(before.position, member.position, self.position)) {
        return `the list of ${name} is not ordered`;
      }
      before = member;
    }
  }
  return undefined;
}

/** The virtual nodes that live, and the rings that they make. */
export class RingView {
  readonly nodes = new Map<Position, VirtualNode>();
  readonly #next = new Map<Position, Position>();

  constructor(machines: Iterable<Machine>) {
    for (const { core, leaving } of machines) {
      if (!leaving) for (const node of core.virtualNodes) this.nodes.set(node.self.position, node);
    }
    for (const node of this.nodes.values()) {
      const next = node.successors.members.find((m) => this.nodes.has(m.position)) ?? node.self;
      this.#next.set(node.self.position, next.position);
    }
  }

  /** The ring that the chain of first living successors of each node ends in, named by its lowest position. */
  rings(): ReadonlyMap<Position, Position> {
    const ringOf = new Map<Position, Position>();
    for (const start of this.nodes.keys()) {
      const path: Position[] = [];
      const at = new Map<Position, number>();
      let position = start;
      while (!ringOf.has(position) && !at.has(position)) {
        at.set(position, path.length);
        path.push(position);
        position = this.#next.get(position)!;
      }
      const ring = ringOf.get(position) ?? [...path.slice(at.get(position))].sort()[0]!;
      for (const passed of path) ringOf.set(passed, ring);
    }
    return ringOf;
  }

  /** A ring goes round the circle once. */
  disorder(): string | undefined {
    for (const start of new Set(this.rings().values())) {
      let laps = 0;
      let position = start;
      do {
        const next = this.#next.get(position)!;
        if (next <= position) laps++;
        position = next;
      } while (position !== start);
      if (laps > 1) return `the ring of ${nameOf(this.nodes.get(start)!.self)} goes round ${laps} times`;
    }
    return undefined;
  }
}

/** What keeps the ring of these machines from being ideal: one ring of all their virtual nodes, nobody else in it. */
export function idealDefect(machines: readonly Machine[], options: RingOptions): string | undefined {
  const members = sortedMembers(machines);
  const index = new Map(members.map((m, i) => [m.position, i]));
  for (const { core } of machines) {
    for (const node of core.virtualNodes) {
      const at = index.get(node.self.position)!;
      const name = nameOf(node.self);
      const memberAt = (offset: number): Member => members[(at + offset + members.length) % members.length]!;
      if (members.length > 1 && node.predecessor?.position !== memberAt(-1).position) {
        return `${name} has another predecessor`;
      }
      const { members: list, whole } = node.successors;
      if (members.length > 1 && list.length === 0) return `${name} has no successor`;
      const wrong = list.findIndex((m, i) => m.position !== memberAt(i + 1).position);
      if (wrong >= 0) return `${name} has another successor ${wrong + 1}: ${list.map(nameOf).join(' ')}`;
      if (whole && list.length !== members.length - 1) return `${name} takes its list for the whole ring`;
      const machineCount = new Set(list.map((m) => m.nodeId)).size;
      const isShort = list.length < options.successorsMin || machineCount <= options.replicas;
      if (!whole && isShort) return `${name} has a short list`;
      for (const finger of node.fingers.values()) {
        if (!index.has(finger.position)) return `${name} has a finger to ${nameOf(finger)}`;
      }
    }
  }
  return undefined;
}

export function sortedMembers(machines: readonly Machine[]): Member[] {
  return machines
    .flatMap(({ core }) => [...core.ownMembers])
    .sort((a, b) => (a.position < b.position ? -1 : 1));
}

/** The first `count` distinct machines at or behind `key`. */
export function idealOwners(members: readonly Member[], key: Position, count: number): string[] {
  const at = Math.max(
    0,
    members.findIndex((m) => m.position >= key),
  );
  const order = [...members.slice(at), ...members.slice(0, at)];
  return [...new Set(order.map((m) => m.nodeId))].slice(0, count);
}

/**
 * Zave's inductive invariant, for the members of a ring that was ideal and has seen nothing since but machines that joined,
 * left or crashed: none of them is skipped by an extended successor list of another, each has a living successor among
 * them, and these make one ring to which all are connected.
 */
export class Established {
  readonly #machines: ReadonlySet<Machine>;
  readonly #positions: Position[];

  constructor(machines: readonly Machine[]) {
    this.#machines = new Set(machines);
    this.#positions = sortedMembers(machines).map((m) => m.position);
  }

  has(machine: Machine): boolean {
    return this.#machines.has(machine);
  }

  /** Those of a machine that lives. */
  #living(alive: ReadonlyMap<string, Machine>): Machine[] {
    return [...this.#machines].filter((m) => !m.leaving && alive.get(m.nodeId) === m);
  }

  /** Whom the lists of `machine` skip, if it is one of us. */
  skipped(machine: Machine, alive: ReadonlyMap<string, Machine>): string | undefined {
    if (!this.#machines.has(machine)) return undefined;
    const owners = new Map<Position, Machine>();
    for (const m of this.#living(alive)) for (const own of m.core.ownMembers) owners.set(own.position, m);
    for (const { self, successors } of machine.core.virtualNodes) {
      let before = self;
      for (const member of successors.members) {
        const at = this.#positions.findIndex(
          (p) => owners.has(p) && isBetween(before.position, p, member.position),
        );
        if (at >= 0 && before.position !== member.position) {
          const position = this.#positions[at]!;
          const list = successors.members.map(nameOf).join(' ');
          return `the list of ${nameOf(self)} skips ${owners.get(position)!.nodeId}:${position.slice(0, 6)}: ${list}`;
        }
        before = member;
      }
    }
    return undefined;
  }

  /** Whether there is one ring of us. */
  split(alive: ReadonlyMap<string, Machine>): string | undefined {
    const living = this.#living(alive);
    const ringOf = new RingView(alive.values()).rings();
    const rings = new Map<Position, Member>();
    for (const { core } of living) {
      for (const own of core.ownMembers) rings.set(ringOf.get(own.position)!, own);
    }
    if (rings.size <= 1) return undefined;
    return `${[...rings.values()].map(nameOf).join(' and ')} are in different rings`;
  }

  /** Whether each list would still name somebody else of us who lives, with these machines dead. */
  survives(dead: ReadonlySet<string>, alive: ReadonlyMap<string, Machine>): boolean {
    const rest = this.#living(alive).filter((m) => !dead.has(m.nodeId));
    const names = new Set(rest.map((m) => m.nodeId));
    return rest.every(({ nodeId, core }) =>
      core.virtualNodes.every(({ successors }) =>
        successors.members.some((m) => m.nodeId !== nodeId && names.has(m.nodeId)),
      ),
    );
  }
}
