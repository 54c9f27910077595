/** Counters since the client was made, and gauges of now. */
export interface MetaClientStats {
  readonly leader: string | undefined;
  readonly session: number;
  /** Times that a leader was found. */
  readonly leaderChanges: number;
  /** Of these, through another server that carried the stream there. */
  readonly relayed: number;
  readonly leaseHeld: boolean;
  readonly requests: number;
  /** Reads sent again after a failure. */
  readonly retries: number;
  /** Reads that another server than the leader answered. */
  readonly followerReads: number;
  readonly commits: number;
  /** Commits sent again under their sequence. */
  readonly commitResends: number;
  readonly commitsPending: number;
  /** Commits that failed because nobody knows whether they took effect. */
  readonly unknownFates: number;
  readonly cacheHits: number;
  readonly cacheMisses: number;
  readonly recalls: number;
  readonly cachedAttrs: number;
  readonly cachedDentries: number;
  readonly cachedExtents: number;
}

export interface BlockClientStats {
  readonly puts: number;
  readonly putBytes: number;
  readonly putRetries: number;
  readonly gets: number;
  readonly fetchedBytes: number;
  readonly cacheHits: number;
  readonly cachedBytes: number;
  /** Reads for which a second owner was asked because the first was slow. */
  readonly hedges: number;
  /** Block nodes that stood still: what waited for them went to others. */
  readonly nodesStill: number;
  /** Copies that an owner did not have, or said were damaged. */
  readonly copiesMissing: number;
  /** Copies that arrived with another content than their name says. */
  readonly copiesCorrupt: number;
  readonly repairs: number;
  readonly repairsFailed: number;
  readonly prefetches: number;
  readonly prefetchesDropped: number;
  readonly ringLookups: number;
  readonly ringRanges: number;
}
