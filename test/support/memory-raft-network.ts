import type { ServerId } from '../../src/base/ids.ts';
import { RaftMessage, SnapshotPart } from '../../src/gen/ringfs/v1/raft.ts';
import type { RaftReceiver, RaftTransport } from '../../src/ports/raft-transport.ts';

/** Delivers Raft messages between replicas of one process, encoded, in order, in a later turn of the event loop. */
export class MemoryRaftNetwork {
  readonly #receivers = new Map<string, RaftReceiver>();
  readonly #cut = new Set<string>();
  readonly #clusterId: string;
  #inFlight = 0;
  /** Return false to lose a message. */
  filter: (message: RaftMessage) => boolean = () => true;
  /** Snapshot streams started, by receiver. */
  readonly snapshotsTo: string[] = [];

  constructor(clusterId: string) {
    this.#clusterId = clusterId;
  }

  /** Messages on their way. */
  get inFlight(): number {
    return this.#inFlight;
  }

  attach(id: ServerId, receiver: RaftReceiver): void {
    this.#receivers.set(id, receiver);
  }

  detach(id: ServerId): void {
    this.#receivers.delete(id);
  }

  isolate(id: ServerId): void {
    this.#cut.add(id);
  }

  heal(): void {
    this.#cut.clear();
  }

  reaches(from: string, to: string): boolean {
    return this.#receivers.has(to) && !this.#cut.has(from) && !this.#cut.has(to);
  }

  transport(from: ServerId): RaftTransport {
    // As in production, only who has been told of can be sent to.
    const peers = new Set<string>();
    return {
      send: (messages) =>
        this.#send(
          from,
          messages.filter(({ to }) => peers.has(to)),
        ),
      setPeer: (id) => void peers.add(id),
      removePeer: (id) => void peers.delete(id),
      sendSnapshot: (to, parts, signal) => this.#sendSnapshot(from, to, parts, signal),
      close: async () => undefined,
    };
  }

  #send(from: ServerId, messages: readonly RaftMessage[]): void {
    const byReceiver = new Map<string, RaftMessage[]>();
    for (const message of messages) {
      if (!this.filter(message)) continue;
      const copy = RaftMessage.decode(RaftMessage.encode(message).finish());
      const list = byReceiver.get(copy.to);
      if (list === undefined) byReceiver.set(copy.to, [copy]);
      else list.push(copy);
    }
    for (const [to, list] of byReceiver) {
      this.#inFlight++;
      setImmediate(() => {
        this.#inFlight--;
        if (!this.reaches(from, to)) return;
        this.#receivers.get(to)?.onMessages(list, { id: from, address: from, clusterId: this.#clusterId });
      });
    }
  }

  async #sendSnapshot(
    from: ServerId,
    to: ServerId,
    parts: AsyncIterable<SnapshotPart>,
    signal: AbortSignal,
  ): Promise<void> {
    const receiver = this.#receivers.get(to);
    if (receiver === undefined || !this.reaches(from, to)) throw new Error(`${to} is unreachable`);
    this.snapshotsTo.push(to);
    const check = (): void => {
      signal.throwIfAborted();
      if (!this.reaches(from, to)) throw new Error(`${to} is unreachable`);
    };
    async function* wire(): AsyncIterableIterator<SnapshotPart> {
      for await (const part of parts) {
        await new Promise<void>((resolve) => setImmediate(resolve));
        check();
        yield SnapshotPart.decode(SnapshotPart.encode(part).finish());
      }
    }
    await receiver.onSnapshot(wire());
  }
}
