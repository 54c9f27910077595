import type { ServerId } from '../base/ids.ts';
import type { RaftMessage, SnapshotPart } from '../gen/ringfs/v1/raft.ts';

/** Best-effort, ordered delivery between replicas. Loss, delay and duplication are Raft's to bear. */
export interface RaftTransport {
  /** Never throws and never blocks; drops when the peer is unreachable or its queue is full. */
  send(messages: readonly RaftMessage[]): void;
  /** Where a member listens. Set before messages are sent to it; changes on a membership change. */
  setPeer(id: ServerId, address: string): void;
  removePeer(id: ServerId): void;
  /** Streams a snapshot to a peer. Resolves when the peer has installed it; rejects otherwise. */
  sendSnapshot(to: ServerId, parts: AsyncIterable<SnapshotPart>, signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/** The receiving side, given to the transport by the meta server. */
export interface RaftReceiver {
  /** Drops and logs messages of another cluster. */
  onMessages(
    messages: readonly RaftMessage[],
    from: { id: ServerId; address: string; clusterId: string },
  ): void;
  /** Rejects to refuse. */
  onSnapshot(parts: AsyncIterable<SnapshotPart>): Promise<void>;
}
