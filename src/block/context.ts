import type { LocalBlocks } from './local-blocks.ts';
import type { Pace } from './pace.ts';
import type { RegistryView } from './registry-view.ts';
import type { Repair } from './repair.ts';
import type { Replication } from './replication.ts';
import type { RingDriver } from './ring-driver.ts';
import type { Scrub } from './scrub.ts';
import type { Semaphore } from './semaphore.ts';
import type { Surplus } from './surplus.ts';

/** What handlers of requests work with. */
export interface BlockContext {
  readonly nodeId: string;
  readonly address: string;
  readonly clusterId: string;
  readonly ring: RingDriver;
  readonly local: LocalBlocks;
  readonly replication: Replication;
  readonly repair: Repair;
  readonly surplus: Surplus;
  readonly scrub: Scrub;
  readonly registry: RegistryView;
  readonly pace: Pace;
  readonly replicas: number;
  /** Failure domain of this node. */
  readonly domain: string | undefined;
  /** Blocks being read for answers. */
  readonly gets: Semaphore;
  /** Bytes being stored for other nodes. Apart from those for clients, which wait for other nodes' budgets of this kind. */
  readonly copyBytes: Semaphore;
}
