import { isBetween, type Position } from './identifiers.ts';
import { ANYWHERE, type Placement } from './placement.ts';
import type { ChordLimits, Member } from './types.ts';

/** The members that follow a virtual node, nearest first, without itself. */
export interface SuccessorList {
  readonly members: readonly Member[];
  /** The list reaches round the circle: there are no other members. */
  readonly whole: boolean;
}

export interface SuccessorListRules {
  readonly limits: ChordLimits;
  /** The list is long enough once it names this many machines. */
  readonly distinctNodes: number;
  /** Those must take blocks, and be of as many failure domains if there are as many. Default: ANYWHERE. */
  readonly placement?: Placement;
  /** Members not to be believed in. */
  readonly isExcluded: (member: Member) => boolean;
  /** This machine's own virtual nodes, which are members for certain; any order. */
  readonly own: readonly Member[];
}

/**
 * The list of `self` out of what a successor told: the successor, then its own list (Zave's reconciliation). Entries
 * that do not go on clockwise are stale and end the list. The length is such that the first `distinctNodes - 1`
 * machines behind any of the first entries can be read off it.
 */
export function reconcile(self: Position, told: readonly Member[], rules: SuccessorListRules): SuccessorList {
  let whole = false;
  const ordered: Member[] = [];
  let previous = self;
  for (const member of told) {
    if (member.position === self) {
      whole = true;
      break;
    }
    if (rules.isExcluded(member)) continue;
    if (previous !== self && !isBetween(previous, member.position, self)) break;
    ordered.push(member);
    previous = member.position;
  }
  const merged = insertOwn(self, ordered, whole, rules);
  const length = sufficientLength(merged, rules);
  return { members: merged.slice(0, length), whole: whole && length === merged.length };
}

/**
 * What one virtual node finds out by itself: the members up to the machine's next own virtual node, which finds out
 * the rest. So news travels through a machine's lists at once instead of from member to member.
 */
export interface Segment {
  readonly members: readonly Member[];
  /** `own`: the last member is an own virtual node. `self`: it reaches round the circle. `open`: more may follow. */
  readonly end: 'own' | 'self' | 'open';
}

export function segmentOf(list: SuccessorList, isOwn: (position: Position) => boolean): Segment {
  const at = list.members.findIndex((m) => isOwn(m.position));
  if (at >= 0) return { members: list.members.slice(0, at + 1), end: 'own' };
  return { members: list.members, end: list.whole ? 'self' : 'open' };
}

/** The successor list of `self`: its own segment, and those of the own virtual nodes where it ends. */
export function joinSegments(
  self: Position,
  segmentAt: (position: Position) => Segment,
  rules: SuccessorListRules,
): SuccessorList {
  const members: Member[] = [];
  let segment = segmentAt(self);
  let whole = segment.end === 'self';
  while (members.length <= rules.limits.successorsMax) {
    const last = segment.members.at(-1);
    whole ||= segment.end === 'own' && last?.position === self;
    members.push(...(last?.position === self ? segment.members.slice(0, -1) : segment.members));
    if (whole || segment.end !== 'own' || last === undefined) break;
    segment = segmentAt(last.position);
  }
  const length = sufficientLength(members, rules);
  return { members: members.slice(0, length), whole: whole && length === members.length };
}

/** Whether a list serves for finding all owners of keys next to its node. */
export function isSufficient(list: SuccessorList, rules: SuccessorListRules): boolean {
  if (list.whole || list.members.length >= rules.limits.successorsMax) return true;
  const coverage = new Coverage(rules);
  for (const member of list.members) coverage.add(member);
  return coverage.enough && list.members.length >= rules.limits.successorsMin;
}

/** Own virtual nodes that lie within the reach of the list belong into it, whether the successor knows them or not. */
function insertOwn(
  self: Position,
  ordered: readonly Member[],
  whole: boolean,
  rules: SuccessorListRules,
): Member[] {
  const last = ordered.at(-1)?.position ?? self;
  const known = new Set(ordered.map((m) => m.position));
  const added = rules.own.filter(
    (m) => m.position !== self && !known.has(m.position) && (whole || isBetween(self, m.position, last)),
  );
  if (added.length === 0) return [...ordered];
  const all = [...ordered, ...added];
  return all.sort((a, b) => clockwiseOrder(self, a.position, b.position));
}

/** Order of two points by their distance clockwise from `from`. */
export function clockwiseOrder(from: Position, a: Position, b: Position): number {
  if (a === b) return 0;
  return isBetween(from, a, b) ? -1 : 1;
}

function sufficientLength(members: readonly Member[], rules: SuccessorListRules): number {
  const coverage = new Coverage(rules);
  const max = Math.min(members.length, rules.limits.successorsMax);
  for (let i = 0; i < max; i++) {
    coverage.add(members[i]!);
    if (coverage.enough && i + 1 >= rules.limits.successorsMin) return i + 1;
  }
  return max;
}

/** Counts the machines of a list that may own blocks, and their failure domains. */
class Coverage {
  readonly #distinctNodes: number;
  readonly #placement: Placement;
  readonly #domainsWanted: number;
  readonly #nodes = new Set<string>();
  readonly #domains = new Set<string>();

  constructor(rules: SuccessorListRules) {
    this.#placement = rules.placement ?? ANYWHERE;
    this.#distinctNodes = rules.distinctNodes + this.#placement.spare;
    // Without domains, machines are what counts.
    this.#domainsWanted = Math.min(rules.distinctNodes, this.#placement.domains ?? 0);
  }

  add({ nodeId }: Member): void {
    if (this.#nodes.has(nodeId) || !this.#placement.takesBlocks(nodeId)) return;
    this.#nodes.add(nodeId);
    this.#domains.add(this.#placement.domainOf(nodeId));
  }

  get enough(): boolean {
    return this.#nodes.size >= this.#distinctNodes && this.#domains.size >= this.#domainsWanted;
  }
}
