/**
 * Everything that a run of the ring can be told, each a number with a name for the command line. Rates are per simulated second, for
 * the whole ring; what begins at a rate ends by itself after a random time.
 */
export const DEFAULTS = {
  /** Simulated seconds of trouble; what is broken is mended afterwards. */
  seconds: 60,
  /** Machines at the beginning, and at most at one time. */
  founders: 5,
  machines: 10,
  /** Virtual nodes of a machine: up to twice this, at least one. */
  virtualNodes: 3,
  replicas: 3,
  /** Entries that a successor list has at least, if there are that many. */
  successorsMin: 6,
  /** Lookups from a random machine for a random key. */
  lookups: 4,
  /** Lookups from each machine once the ring is whole again. */
  lookupsAfter: 20,

  // The network.
  latencyMs: 20,
  /** Requests and answers that never arrive. Their sender takes the other for dead. */
  loss: 0.0003,
  /** Requests that arrive a second time, later. */
  duplication: 0.01,
  /** Messages that are overtaken by many. */
  straggling: 0.01,
  /** A machine's messages take up to `slowMs` longer. */
  slowNodes: 0.01,
  slowMs: 2_000,
  /** Two groups of machines that do not hear of each other. */
  partitions: 0.012,
  partitionMs: 12_000,

  // Machines.
  joins: 0.12,
  leaves: 0.04,
  /** Up to `crashesMax` machines at one moment, as many as leave every list with a living member. */
  crashes: 0.06,
  crashesMax: 4,
  /** Machines that are back before anybody has noticed. */
  restarts: 0.03,
  /** Share of machines that come back with another number of virtual nodes. */
  resizes: 0.1,
  /** The event loop of a machine stands still. */
  pauses: 0.03,
  pauseMs: 3_000,
};

export type RingOptions = Readonly<typeof DEFAULTS>;

/** What breaks things. The first things that a failing run is tried without. */
export const FAULTS = [
  'loss',
  'duplication',
  'straggling',
  'slowNodes',
  'partitions',
  'restarts',
  'resizes',
  'pauses',
  'leaves',
  'crashes',
  'joins',
] as const satisfies readonly (keyof RingOptions)[];

export const PROFILES: Readonly<Record<string, Partial<RingOptions>>> = { ring: {} };

export type RingCounts = ReturnType<typeof noCounts>;

export function noCounts() {
  return {
    joins: 0,
    leaves: 0,
    crashes: 0,
    restarts: 0,
    partitions: 0,
    pauses: 0,
    lookups: 0,
    lookupsFailed: 0,
    /** Lookups whose owners could be compared with those of an ideal ring. */
    lookupsChecked: 0,
    /** Living machines that somebody took for dead. */
    falseSuspicions: 0,
    messages: 0,
    /** Time in which nothing but joins, leaves and crashes had happened since the ring was ideal. */
    strictMs: 0,
    /** From the end of the trouble to the ideal ring. */
    healMs: 0,
    simulatedMs: 0,
  };
}
