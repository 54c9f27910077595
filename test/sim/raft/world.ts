import type { Random } from '../../../src/base/random.ts';
import type { RaftConfState, RaftMessage } from '../../../src/gen/ringfs/v1/raft.ts';
import type { Oracle } from './oracle.ts';

/** Mistakes that a driver could make; the checkers have to notice each of them. */
export type PlantedBug =
  | 'send-before-persist'
  | 'count-unpersisted-self'
  | 'forget-vote'
  | 'skip-fsync'
  | 'read-without-lease'
  | 'read-before-apply';

export interface RaftSimulationOptions {
  /** Ticks of faults before everything is healed. Default 300. */
  readonly chaosTicks?: number;
  /** Of a node's writes, sends and applications, one in so many is its last. Default 1000. */
  readonly strikeOneIn?: number;
  readonly bug?: PlantedBug;
  /** Called with every traced event; for debugging a seed. */
  readonly onTrace?: (line: string) => void;
}

export interface SimulationCounts {
  elections: number;
  crashes: number;
  pauses: number;
  partitions: number;
  snapshotsInstalled: number;
  compactions: number;
  membershipChanges: number;
  jointConfigurations: number;
  transfers: number;
  proposalsAcknowledged: number;
  readsServed: number;
  leaseReadsServed: number;
  messagesSent: number;
  messagesLost: number;
  messagesDuplicated: number;
}

export function noCounts(): SimulationCounts {
  return {
    elections: 0,
    crashes: 0,
    pauses: 0,
    partitions: 0,
    snapshotsInstalled: 0,
    compactions: 0,
    membershipChanges: 0,
    jointConfigurations: 0,
    transfers: 0,
    proposalsAcknowledged: 0,
    readsServed: 0,
    leaseReadsServed: 0,
    messagesSent: 0,
    messagesLost: 0,
    messagesDuplicated: 0,
  };
}

/** Virtual time: 100 units are one tick of a node whose clock is exact. */
export const TICK_UNITS = 100;

/** What a simulated node sees of the simulation. */
export interface World {
  readonly random: Random;
  readonly oracle: Oracle;
  readonly counts: SimulationCounts;
  readonly bug: PlantedBug | undefined;
  /** Leaders send appends before they persisted them. */
  readonly earlySend: boolean;
  /** Virtual time for a write, a send, an application: up to so many units, in which anything may happen. */
  readonly stepUnitsMax: number;
  after(delay: number, action: () => void): void;
  /** Whether the node dies before its next step. */
  strikes(id: string): boolean;
  send(message: RaftMessage): void;
  /** Streams a snapshot; `done` hears how it went, unless the answer is lost. */
  sendSnapshot(snapshot: SimSnapshot, message: RaftMessage, done: (ok: boolean) => void): void;
  trace(kind: string, ...values: (number | string)[]): void;
}

export interface SimSnapshot {
  readonly index: number;
  readonly term: number;
  readonly confState: RaftConfState;
}
