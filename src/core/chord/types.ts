import type { Position } from './identifiers.ts';

/** One virtual node: a point on the circle and the machine that serves it. */
export interface Member {
  readonly position: Position;
  readonly nodeId: string;
  readonly address: string;
}

export type ChordBody =
  | { readonly kind: 'neighbors' }
  /** The sender may be the target's predecessor. */
  | { readonly kind: 'notify' }
  | { readonly kind: 'find'; readonly key: Position }
  /** The sender's machine leaves the ring. */
  | {
      readonly kind: 'leave';
      readonly predecessor: Member | undefined;
      readonly successors: readonly Member[];
    };

export interface ChordRequest {
  /** The addressed virtual node; undefined: any of the machine (only for `find`). */
  readonly target: Position | undefined;
  readonly sender: Member;
  readonly body: ChordBody;
}

export interface ChordReply {
  readonly predecessor: Member | undefined;
  readonly successors: readonly Member[];
  /** `find`: whether `result` is the answer or the next to ask. */
  readonly done: boolean;
  readonly result: Member | undefined;
}

/** A request to send. Answer every one with `reply` or `failed`, exactly once. */
export interface ChordMessage {
  readonly id: number;
  readonly address: string;
  /** Undefined for a seed whose name is not known yet. */
  readonly nodeId: string | undefined;
  readonly request: ChordRequest;
}

export interface ChordConfig {
  readonly nodeId: string;
  readonly address: string;
  /** Points of the virtual nodes, at least one. */
  readonly positions: readonly Position[];
  /** Distinct machines that a successor list must hold is one more than this. */
  readonly replicas: number;
  readonly limits?: Partial<ChordLimits>;
}

export interface ChordLimits {
  /** Ticks between two stabilizations of a virtual node after something changed, and when all is quiet. */
  readonly stabilizeTicks: number;
  readonly stabilizeQuietTicks: number;
  readonly checkPredecessorTicks: number;
  readonly fixFingerTicks: number;
  /** How long what others say about a machine that did not answer us is ignored. */
  readonly suspectTicks: number;
  /** A successor list has at least this many entries if there are that many. */
  readonly successorsMin: number;
  readonly successorsMax: number;
  readonly hopsMax: number;
  /** A virtual node that nobody could tell its place so many times trusts what it knows. */
  readonly placeTriesMax: number;
}

/** In ticks of 100 ms. Three machines with 32 virtual nodes then exchange about 40 messages a second when quiet. */
export const CHORD_LIMITS: ChordLimits = {
  stabilizeTicks: 5,
  stabilizeQuietTicks: 20,
  checkPredecessorTicks: 100,
  fixFingerTicks: 50,
  suspectTicks: 300,
  successorsMin: 16,
  successorsMax: 128,
  hopsMax: 64,
  placeTriesMax: 10,
};

/** Who stores a key, as far as this node knows. */
export type OwnersAnswer =
  | {
      readonly done: true;
      /** Distinct machines in ring order, each by the virtual node that comes first. */
      readonly owners: readonly Member[];
      /** The owners are the same for every key in (rangeStart, rangeEnd]. */
      readonly rangeStart: Position;
      readonly rangeEnd: Position;
    }
  | { readonly done: false; readonly nextHop: Member };
