import type { Peer, Role } from '../values.ts';
import type { FailpointSpec } from './failpoint.ts';

/** What `ringfs server` was told, checked. */
export interface ServerOptions {
  readonly id: string;
  readonly roles: readonly Role[];
  /** Where to bind. */
  readonly listen: string;
  /** Where others reach it. */
  readonly advertise: string;
  readonly data: string;
  /** The meta servers that a new cluster begins with, this one included when it has that role. Empty for a server that joins. */
  readonly peers: readonly Peer[];
  /** Servers of the cluster, to be asked for more. */
  readonly contacts: readonly string[];
  readonly clusterId: string;
  readonly replicas: number;
  readonly capacityBytes: number | undefined;
  readonly virtualNodes: number;
  /** Name shared by nodes that can fail together. */
  readonly domain?: string | undefined;
  /** How long blocks without references are kept. */
  readonly gcGraceMs: number;
  /** Between two passes of the scrubber, and what it reads. */
  readonly scrubIntervalMs: number;
  readonly scrubBytesPerSecond: number;
  readonly version: string;
  /** For tests: this process is to die there. */
  readonly failpoint?: FailpointSpec;
}
