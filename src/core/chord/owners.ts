import { isBetween, isInRange, type Position } from './identifiers.ts';
import { ANYWHERE, OwnerChoice, type Placement } from './placement.ts';
import { clockwiseOrder } from './successor-list.ts';
import type { Member, OwnersAnswer } from './types.ts';
import type { VirtualNode } from './virtual-node.ts';

/**
 * Members behind a key that are looked at for machines of other failure domains; successor lists may be as long. With three
 * domains of which one has a tenth of all virtual nodes, one key in 700,000 does without it.
 */
export const PLACEMENT_MEMBERS_MAX = 128;

/** The own virtual node closest before `key`. `nodes` is sorted by position and not empty. */
export function closestOwn(nodes: readonly VirtualNode[], key: Position): VirtualNode {
  let low = 0;
  let high = nodes.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (nodes[middle]!.self.position < key) low = middle + 1;
    else high = middle;
  }
  return nodes[(low + nodes.length - 1) % nodes.length]!;
}

/**
 * The owners of `key`: going clockwise from it, the first `count` distinct machines that take blocks and do not leave the range to
 * others, of different failure domains if the first PLACEMENT_MEMBERS_MAX members have so many, else of as many as they have. Known if the successor list of the own
 * virtual node before the key tells, else the member to ask next. Depends on nothing but the ring and `placement`, so that all who
 * know both name the same.
 */
export function ownersOf(
  nodes: readonly VirtualNode[],
  key: Position,
  count: number,
  placement: Placement = ANYWHERE,
): OwnersAnswer {
  const own = closestOwn(nodes, key);
  const { members, whole } = own.successors;
  const first = firstAtOrBehind(own, key);
  if (first === undefined && !whole) return { done: false, nextHop: closestPreceding(nodes, own, key) };
  const rangeEnd = first === undefined ? own.self.position : members[first]!.position;
  const choice = new OwnerChoice<Member>(placement, count, rangeEnd);
  let left = PLACEMENT_MEMBERS_MAX;
  const take = (member: Member): void => {
    if (left-- > 0 && !choice.settled) choice.take(member);
  };
  // Behind the last member of a whole list comes the own node itself.
  for (let i = first ?? members.length; i < members.length; i++) take(members[i]!);
  if (whole) {
    take(own.self);
    for (let i = 0; i < (first ?? members.length); i++) take(members[i]!);
  }
  const previous =
    first === undefined ? (members.at(-1) ?? own.self) : first === 0 ? own.self : members[first - 1]!;
  // The member just before the key has a list that starts at the key. If that is us, our list must do.
  if (!choice.settled && !whole && left > 0 && previous.nodeId !== own.self.nodeId) {
    return { done: false, nextHop: previous };
  }
  return { done: true, owners: choice.owners, rangeStart: previous.position, rangeEnd };
}

/** The first member at or behind `key`. A ring of one has itself. */
export function successorOf(
  nodes: readonly VirtualNode[],
  key: Position,
): { readonly done: boolean; readonly member: Member } {
  const answer = ownersOf(nodes, key, 1);
  return answer.done ? { done: true, member: answer.owners[0]! } : { done: false, member: answer.nextHop };
}

function firstAtOrBehind(own: VirtualNode, key: Position): number | undefined {
  const { members } = own.successors;
  const start = own.self.position;
  const last = members.at(-1);
  if (last === undefined || !isInRange(start, key, last.position) || key === start) return undefined;
  let low = 0;
  let high = members.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isInRange(start, key, members[middle]!.position)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The known member closest before `key`, from successor lists and fingers. */
function closestPreceding(nodes: readonly VirtualNode[], own: VirtualNode, key: Position): Member {
  let best: Member | undefined;
  const consider = (member: Member): void => {
    if (member.nodeId === own.self.nodeId || !isBetween(own.self.position, member.position, key)) return;
    if (best === undefined || clockwiseOrder(own.self.position, best.position, member.position) < 0)
      best = member;
  };
  for (const node of nodes) {
    node.successors.members.forEach(consider);
    node.fingers.forEach(consider);
  }
  return best ?? own.successors.members.at(-1) ?? own.self;
}
