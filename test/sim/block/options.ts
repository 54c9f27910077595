/**
 * Everything that a run of the block nodes can be told, each a number with a name for the command line. Rates are per simulated
 * second, for all nodes together; what begins at a rate ends by itself after a random time.
 */
export const DEFAULTS = {
  /** Simulated seconds of trouble; what is broken is mended afterwards. */
  seconds: 40,
  /** Nodes at the beginning, and at most at one time. */
  founders: 5,
  nodes: 7,
  /** Virtual nodes of each, and the share of nodes that have twice as many. */
  virtualNodes: 4,
  big: 0.3,
  /** Share of runs in which nodes are in failure domains, one of this many each. */
  domained: 0.3,
  domains: 4,
  replicas: 3,
  clients: 2,
  /** Callers in each client. */
  fibers: 3,
  /** Pause between two operations of a caller: up to twice this. */
  thinkMs: 500,
  files: 8,
  /** Different contents that are written. */
  contents: 30,
  blockBytes: 400,
  /** Shares of operations. */
  reading: 0.5,
  truncating: 0.15,
  /** Share of uploads that are never committed. */
  forgetting: 0.1,
  graceMs: 4_000,
  /** Copies of blocks that a node does not own stay for at least this long. */
  surplusGraceMs: 2_000,

  // The network.
  latencyMs: 10,
  /** Messages that vanish in a stream: their call gets no answer. */
  loss: 0.0002,
  /** Messages that hold up what is behind them in their stream. */
  straggling: 0.003,
  streamBreaks: 0.1,
  /** Two groups of nodes and clients that do not hear of each other. */
  partitions: 0.02,
  partitionMs: 10_000,
  /** The collector's deletes that arrive late, or whose answer is lost. */
  lateDeletes: 0.25,

  // Processes.
  /** Up to replicas - 1 nodes are down at one time. */
  crashes: 0.08,
  downMs: 12_000,
  /** Nodes that are back before anybody has noticed. */
  restarts: 0.03,
  joins: 0.04,
  /** Nodes that say goodbye, with or without coming back. */
  leaves: 0.03,
  /** Nodes that an operator drains and removes, switches off or takes back. One time in five he changes his mind. */
  drains: 0.05,
  /** The event loop of a node stands still. */
  pauses: 0.05,
  pauseMs: 3_000,
  /** Another leader of the metadata cluster collects the garbage. */
  elections: 0.04,

  // Disks.
  diskMs: 2,
  /** Operations take up to a second longer. */
  diskStalls: 0.05,
  diskFull: 0.03,
  /** A node comes back with an empty disk. */
  diskLosses: 0.02,
  /** Copies that lose a bit, if there is another good one. */
  rot: 0.15,
};

export type BlocksOptions = Readonly<typeof DEFAULTS>;

/** What breaks things. The first things that a failing run is tried without. */
export const FAULTS = [
  'loss',
  'straggling',
  'streamBreaks',
  'partitions',
  'lateDeletes',
  'crashes',
  'restarts',
  'joins',
  'leaves',
  'drains',
  'pauses',
  'elections',
  'diskStalls',
  'diskFull',
  'diskLosses',
  'rot',
] as const satisfies readonly (keyof BlocksOptions)[];

export const PROFILES: Readonly<Record<string, Partial<BlocksOptions>>> = { blocks: {} };

export type BlocksCounts = ReturnType<typeof noCounts>;

export function noCounts() {
  return {
    joins: 0,
    leaves: 0,
    crashes: 0,
    restarts: 0,
    drains: 0,
    removals: 0,
    takenBack: 0,
    inDomains: 0,
    partitions: 0,
    pauses: 0,
    diskLosses: 0,
    fullDisks: 0,
    rotten: 0,
    puts: 0,
    putsFailed: 0,
    gets: 0,
    /** Reads of blocks of which no node could be reached that had a copy all the time. */
    getsExcused: 0,
    commits: 0,
    commitsRefused: 0,
    deletes: 0,
    reclaimed: 0,
    /** Surplus copies that nodes have dropped. */
    dropped: 0,
    healMs: 0,
    events: 0,
    simulatedMs: 0,
  };
}
