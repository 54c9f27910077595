import type { Random } from '../base/random.ts';
import type { MetaReply, MetaRequest } from '../gen/ringfs/v1/meta.ts';
import type { Time } from '../gen/ringfs/v1/namespace.ts';
import type { ClusterRow } from '../gen/ringfs/v1/rows.ts';
import type { Timers } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import type { RpcConnector } from '../ports/rpc.ts';
import type { GarbageOptions, Leadership } from './leadership.ts';
import type { HasCopies } from './removal-cost.ts';
import type { Replica } from './replica.ts';
import type { Session } from './sessions.ts';
import type { AskLeader, UnleasedReads } from './unleased-reads.ts';

export type RequestBody = NonNullable<MetaRequest['body']>;
export type ReplyBody = NonNullable<MetaReply['body']>;

export interface MetaServerComponents {
  readonly replica: Replica;
  readonly timers: Timers;
  readonly random: Random;
  readonly logger: Logger;
  /** Without it nothing is collected. */
  readonly garbage?: GarbageOptions;
  /** Asks the leader at an address for a read point. Without it only the leader answers reads. */
  readonly askLeader?: AskLeader;
  /** How other members are reached, to carry clients' streams to the leader. Without it that is not done. */
  readonly connector?: RpcConnector<MetaRequest, MetaReply>;
  /** Without it block nodes are not managed from here. */
  readonly hasCopies?: HasCopies;
}

/** What any request has at hand. */
export interface ServerContext {
  readonly replica: Replica;
  readonly timers: Timers;
  /** Undefined until the cluster has been initialised. */
  cluster(): Promise<ClusterRow | undefined>;
  /** Undefined while this replica does not lead, or has not applied everything of earlier terms. */
  leadership(): Leadership | undefined;
  readonly unleased: UnleasedReads;
  readonly connector: RpcConnector<MetaRequest, MetaReply> | undefined;
}

/** What a request of the leader has at hand. */
export interface LeaderContext extends ServerContext {
  readonly lead: Leadership;
}

/** What a request of a session has at hand. */
export interface SessionContext extends LeaderContext {
  readonly session: Session;
}

/** What a read without a session has at hand, at whatever member. */
export interface ObserverContext extends ServerContext {
  readonly session: undefined;
}

export type ReadContext = SessionContext | ObserverContext;

/** The cluster's time: the leader's clock. Clients estimate it from hellos and pings. */
export function clusterTime(timers: Timers): Time {
  const { sec, nsec } = timers.wallTime();
  return { sec, nsec };
}
