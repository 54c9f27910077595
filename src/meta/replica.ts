import type { ServerId } from '../base/ids.ts';
import type { ApplyOutcome } from '../core/namespace/types.ts';
import type { RaftStatus } from '../gen/ringfs/v1/admin.ts';
import type { MetaMember } from '../gen/ringfs/v1/meta.ts';
import type { KvStore } from '../ports/kv-store.ts';

/** This replica cannot take the request now. */
export class NotLeaderError extends Error {
  override readonly name = 'NotLeaderError';
  readonly leader: { readonly id: ServerId; readonly address: string } | undefined;
  constructor(leader: { readonly id: ServerId; readonly address: string } | undefined) {
    super('not the leader');
    this.leader = leader;
  }
}

/** Too many uncommitted bytes; try again shortly. Nothing was proposed. */
export class OverloadedError extends Error {
  override readonly name = 'OverloadedError';
}

/** The proposal's fate is unknown: leadership was lost while it was in flight. */
export class ProposalLostError extends Error {
  override readonly name = 'ProposalLostError';
}

/** What befalls every proposer now and then, and is tried again later: leadership moved, or there is too much to do. */
export function isPassing(error: unknown): boolean {
  return (
    error instanceof NotLeaderError || error instanceof OverloadedError || error instanceof ProposalLostError
  );
}

/** One applied command, as the service above sees it, in log order. */
export interface Applied {
  readonly index: number;
  readonly term: number;
  readonly outcome: ApplyOutcome;
}

/** A session that the leader has not heard of for so long, in milliseconds. */
export interface SilentSession {
  readonly session: number;
  readonly silentMs: number;
}

/**
 * A Raft replica of the namespace: what the session service builds on. Implemented by the driver in src/meta/raft/.
 */
export interface Replica {
  readonly id: ServerId;
  /** Resolves when the command has been committed and applied here. Throws NotLeaderError (not proposed),
   * OverloadedError (not proposed), ProposalLostError (unknown). */
  propose(command: Uint8Array): Promise<Applied>;
  /** Like `propose`, but resolves as soon as the outcome is certain. `state` may not have it yet; whoever reads after a
   * `readBarrier` finds it there. */
  decide(command: Uint8Array): Promise<Applied>;
  /** Resolves once this replica has applied everything that was committed when it was called; reads from `state` are
   * linearizable then. Uses the quorum lease when it is valid, otherwise a heartbeat round. Throws NotLeaderError. */
  readBarrier(): Promise<void>;
  /** The state machine's rows as of the last applied batch. */
  readonly state: Pick<KvStore, 'get' | 'getMany' | 'scan'>;
  /** Called synchronously when the outcomes of a batch are certain, before its proposals resolve. `state` may not have it yet. */
  onApplied(listener: (batch: readonly Applied[]) => void): void;
  /** `leader` once this replica leads and has applied all entries of earlier terms; `follower` when it stops leading. */
  onRoleChange(listener: (role: 'leader' | 'follower', term: number) => void): void;
  isLeader(): boolean;
  /** A quorum answered recently enough that no other leader can exist. */
  leaseValid(): boolean;
  leader(): { readonly id: ServerId; readonly address: string } | undefined;
  members(): readonly MetaMember[];
  appliedIndex(): number;
  /** Resolves when reads of `state` see what the entry at `index` did. Throws NotLeaderError when this replica may not answer. */
  reached(index: number): Promise<void>;
  /** Reads of `state` that ended before this call saw nothing of an entry beyond it. It only grows, and is ahead of `appliedIndex`
   * while a batch is being written. */
  visibleIndex(): number;
  /** At the leader: the sessions that whoever leads next is to know of. It may or may not get there. */
  tellSilence(sessions: readonly SilentSession[]): void;
  /** What the last leader told just before; nothing when that is not known. */
  toldSilence(): readonly SilentSession[];
  status(): RaftStatus;
}
