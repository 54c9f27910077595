import { isBetween, isInRange, type Position } from './identifiers.ts';
import { clockwiseOrder } from './successor-list.ts';
import type { Member, OwnersAnswer } from './types.ts';
import type { VirtualNode } from './virtual-node.ts';

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
 * The first `count` distinct machines clockwise from `key`, if the successor list of the own virtual node before it
 * tells them, else the member to ask next.
 */
export function ownersOf(nodes: readonly VirtualNode[], key: Position, count: number): OwnersAnswer {
  const own = closestOwn(nodes, key);
  const { members, whole } = own.successors;
  const first = firstAtOrBehind(own, key);
  if (first === undefined) {
    return whole ? wrapped(own, members, count) : { done: false, nextHop: closestPreceding(nodes, own, key) };
  }
  const owners: Member[] = [];
  const seen = new Set<string>();
  const take = (member: Member): void => {
    if (owners.length < count && !seen.has(member.nodeId)) {
      seen.add(member.nodeId);
      owners.push(member);
    }
  };
  for (let i = first; i < members.length; i++) take(members[i]!);
  if (whole) {
    take(own.self);
    for (let i = 0; i < first; i++) take(members[i]!);
  }
  const previous = first === 0 ? own.self : members[first - 1]!;
  // The member just before the key has a list that starts at the key. If that is us, our list must do.
  if (owners.length < count && !whole && previous.nodeId !== own.self.nodeId) {
    return { done: false, nextHop: previous };
  }
  return { done: true, owners, rangeStart: previous.position, rangeEnd: members[first]!.position };
}

/** The first member at or behind `key`. A ring of one has itself. */
export function successorOf(
  nodes: readonly VirtualNode[],
  key: Position,
): { readonly done: boolean; readonly member: Member } {
  const answer = ownersOf(nodes, key, 1);
  return answer.done ? { done: true, member: answer.owners[0]! } : { done: false, member: answer.nextHop };
}

/** The list is the whole ring and the key lies behind its last member: the own node itself comes next. */
function wrapped(own: VirtualNode, members: readonly Member[], count: number): OwnersAnswer {
  const owners: Member[] = [];
  const seen = new Set<string>();
  for (const member of [own.self, ...members]) {
    if (owners.length >= count) break;
    if (seen.has(member.nodeId)) continue;
    seen.add(member.nodeId);
    owners.push(member);
  }
  const rangeStart = members.at(-1)?.position ?? own.self.position;
  return { done: true, owners, rangeStart, rangeEnd: own.self.position };
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
