import type { Segment, SuccessorList } from './successor-list.ts';
import type { Member } from './types.ts';

/** What Chord keeps for one virtual node. */
export interface VirtualNode {
  readonly self: Member;
  predecessor: Member | undefined;
  segment: Segment;
  /** Another machine's part of the ring has been asked what follows this node: until then the segment may skip members there. */
  placed: boolean;
  placeTries: number;
  /** Derived from the segments of all own virtual nodes. */
  successors: SuccessorList;
  /** fingers[i] is the first member at or behind position + 2^i, where the successor list does not reach. */
  readonly fingers: Map<number, Member>;
  nextFinger: number;
  /** Ticks at which the next step of each maintenance task is due. */
  stabilizeAt: number;
  checkPredecessorAt: number;
  fixFingerAt: number;
  /** A stabilization waits for an answer. */
  stabilizing: boolean;
  /** Stabilizations in a row that changed nothing. */
  quietRounds: number;
}

export function virtualNode(self: Member, now: number, stagger: number): VirtualNode {
  return {
    self,
    predecessor: undefined,
    segment: { members: [], end: 'self' },
    placed: false,
    placeTries: 0,
    successors: { members: [], whole: true },
    fingers: new Map(),
    nextFinger: 255,
    stabilizeAt: now + stagger,
    checkPredecessorAt: now + stagger,
    fixFingerAt: now + stagger,
    stabilizing: false,
    quietRounds: 0,
  };
}

export function sameMembers(a: readonly Member[], b: readonly Member[]): boolean {
  return a.length === b.length && a.every((m, i) => sameMember(m, b[i]));
}

export function sameMember(a: Member | undefined, b: Member | undefined): boolean {
  return a?.position === b?.position && a?.nodeId === b?.nodeId && a?.address === b?.address;
}
