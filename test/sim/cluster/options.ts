/**
 * Everything that a run can be told, each a number with a name for the command line. Rates are per simulated second, for the whole
 * cluster unless said otherwise; what begins at a rate ends by itself after a random time.
 */
export const DEFAULTS = {
  /** Simulated seconds of trouble; what is broken is mended afterwards. */
  seconds: 10,
  servers: 3,
  clients: 3,
  /** Callers in each client. */
  fibers: 2,
  /** Pause between two operations of a caller: up to twice this. */
  thinkMs: 110,
  /** Independent pairs of directories that the operations are about. */
  groups: 2,
  /** Names in each directory. */
  names: 3,
  /** Share of operations that lock or unlock. */
  locking: 0.12,
  operationTimeoutMs: 3_000,
  /** The log is compacted beyond this many entries, down to `logKept`. */
  logMax: 60,
  logKept: 15,

  // The network.
  loss: 0.01,
  duplication: 0.01,
  delayMs: 4,
  straggling: 0.01,
  /** Snapshot streams that break at any part. */
  snapshotLoss: 0.1,
  streamBreaks: 0.3,
  /** A client is cut off from all servers. */
  clientCuts: 0.08,
  clientCutMs: 5_000,
  /** A client is cut off from the leader alone, for up to `clientCutMs`. */
  leaderCuts: 0.1,
  /** Runs whose servers carry clients to the leader; in the others they are older. */
  relaying: 0.6,
  clientCrashes: 0.02,
  /** Two groups of servers, clients with either. */
  partitions: 0.12,
  /** One direction between two servers. */
  oneWayCuts: 0.12,
  slowLinks: 0.1,

  // Processes and machines.
  kills: 0.12,
  powerLosses: 0.08,
  /** All servers at once. */
  blackouts: 0.02,
  /** A process dies at one of the driver's failpoints. */
  failpoints: 0.12,
  /** The event loop stands still. */
  pauses: 0.12,
  /** Clocks go up to so much faster or slower. Leases assume that two clocks drift apart by less than 6 %. */
  drift: 0.015,
  /** The wall clock of a machine jumps by up to a minute. */
  clockJumps: 0.1,

  // Disks.
  diskMs: 1.5,
  /** A sync takes up to a second. */
  diskStalls: 0.1,
  diskFull: 0.05,
  /** A read of the state fails. */
  readErrors: 0.03,
  /** Share of restarts that find a damaged record, which must be refused; it is mended for the next start. */
  damage: 0.05,

  // Members.
  additions: 0.06,
  removals: 0.06,
  transfers: 0.1,
};

export type SimOptions = Readonly<typeof DEFAULTS>;
export type OptionName = keyof typeof DEFAULTS;

/** What breaks things. The first things that a failing run is tried without. */
export const FAULTS = [
  'loss',
  'duplication',
  'straggling',
  'snapshotLoss',
  'streamBreaks',
  'clientCuts',
  'leaderCuts',
  'clientCrashes',
  'partitions',
  'oneWayCuts',
  'slowLinks',
  'kills',
  'powerLosses',
  'blackouts',
  'failpoints',
  'pauses',
  'drift',
  'clockJumps',
  'diskStalls',
  'diskFull',
  'readErrors',
  'damage',
  'additions',
  'removals',
  'transfers',
] as const satisfies readonly OptionName[];

const NO_FAULTS: Partial<SimOptions> = Object.fromEntries(FAULTS.map((name) => [name, 0]));

export const PROFILES: Readonly<Record<string, Partial<SimOptions>>> = {
  mixed: {},
  crash: { ...NO_FAULTS, loss: 0.01, kills: 0.5, powerLosses: 0.4, blackouts: 0.1, failpoints: 0.8 },
  partition: {
    ...NO_FAULTS,
    loss: 0.05,
    duplication: 0.05,
    straggling: 0.05,
    streamBreaks: 0.5,
    clientCuts: 0.2,
    leaderCuts: 0.3,
    partitions: 0.4,
    oneWayCuts: 0.3,
    slowLinks: 0.3,
  },
  clock: { ...NO_FAULTS, drift: 0.025, clockJumps: 1, pauses: 0.8, partitions: 0.1 },
  disk: { ...NO_FAULTS, diskStalls: 0.4, diskFull: 0.2, readErrors: 0.15, damage: 0.3, powerLosses: 0.3 },
  membership: {
    ...NO_FAULTS,
    loss: 0.02,
    additions: 0.4,
    removals: 0.4,
    transfers: 0.4,
    kills: 0.15,
    partitions: 0.1,
  },
  /** Long enough that the sessions of clients which died or were cut off end, and with them their locks. */
  sessions: {
    ...NO_FAULTS,
    seconds: 45,
    thinkMs: 350,
    locking: 0.5,
    clientCuts: 0.1,
    clientCutMs: 40_000,
    clientCrashes: 0.06,
    kills: 0.03,
    transfers: 0.03,
  },
  calm: NO_FAULTS,
};

/** Throws RangeError. */
export function profileOptions(profile: string, changes: Partial<SimOptions> = {}): SimOptions {
  const own = Object.hasOwn(PROFILES, profile) ? PROFILES[profile] : undefined;
  if (own === undefined) throw new RangeError(`there is no profile ${profile}`);
  return { ...DEFAULTS, ...own, ...changes };
}

export type SimCounts = ReturnType<typeof noCounts>;

export function noCounts() {
  return {
    elections: 0,
    crashes: 0,
    failpoints: 0,
    pauses: 0,
    partitions: 0,
    snapshots: 0,
    compactions: 0,
    memberChanges: 0,
    transfers: 0,
    refusedStarts: 0,
    fullDisks: 0,
    sessionsLost: 0,
    operations: 0,
    /** Answered by servers that did not lead. */
    followerReads: 0,
    /** Streams that another server carried to the leader. */
    relayed: 0,
    unknownOutcomes: 0,
    duplicates: 0,
    messagesSent: 0,
    messagesLost: 0,
    messagesDuplicated: 0,
    events: 0,
    /** Histories for which no verdict was found in time. */
    undecided: 0,
    simulatedMs: 0,
  };
}
