import type { ServerId } from '../../../src/base/ids.ts';
import type { Random } from '../../../src/base/random.ts';
import { RaftMessage, SnapshotPart } from '../../../src/gen/ringfs/v1/raft.ts';
import type { RaftReceiver, RaftTransport } from '../../../src/ports/raft-transport.ts';
import type { SimProcess } from '../harness/world.ts';
import { SimNetwork } from '../raft/network.ts';
import type { SimWorld } from './world.ts';

/** A live server at its end of the links. */
export interface LinkEnd {
  readonly id: string;
  readonly address: string;
  readonly process: SimProcess;
  readonly receiver: RaftReceiver & { reportUnreachable(id: ServerId): void };
}

/** What planted mistakes do to messages. */
export interface LinkTampering {
  outgoing?(message: RaftMessage): readonly RaftMessage[];
  snapshot?(parts: AsyncIterable<SnapshotPart>): AsyncIterable<SnapshotPart>;
}

interface SnapshotStream {
  readonly from: string;
  readonly to: string;
  readonly broken: Promise<never>;
  break(reason: string): void;
}

/** Raft's messages and snapshots between servers. Every message goes its own way: lost, late, twice, overtaken. */
export class RaftLinks {
  readonly #world: SimWorld;
  readonly #random: Random;
  readonly #clusterId: string;
  readonly #ends = new Map<string, LinkEnd>();
  readonly #streams = new Set<SnapshotStream>();
  readonly network: SimNetwork;
  tampering: LinkTampering = {};
  #snapshotLoss: number;

  constructor(world: SimWorld, clusterId: string) {
    const { loss, duplication, delayMs, straggling, snapshotLoss } = world.options;
    this.#world = world;
    this.#clusterId = clusterId;
    this.#random = world.random('links');
    this.#snapshotLoss = snapshotLoss;
    this.network = new SimNetwork(
      {
        random: this.#random,
        counts: world.counts,
        encode: false,
        after: (delay, action) => world.queue.after(delay * this.#random.next(), action),
        deliver: (message) => this.#deliver(message),
      },
      { loss, duplication, delayMax: delayMs, straggling },
    );
  }

  /** Nothing is lost and late any more. */
  calm(): void {
    this.network.heal();
    this.network.weather = { ...this.network.weather, loss: 0, duplication: 0, straggling: 0 };
    this.#snapshotLoss = 0;
  }

  attach(end: LinkEnd): void {
    this.#ends.set(end.id, end);
  }

  detach(id: string): void {
    this.#ends.delete(id);
    for (const stream of this.#streams) {
      if (stream.from === id || stream.to === id) stream.break(`${id} died`);
    }
  }

  /** `onSend` sees every message before it leaves. */
  transport(id: string, process: SimProcess, onSend: (message: RaftMessage) => void): RaftTransport {
    const peers = new Set<string>();
    return {
      send: (messages) => {
        if (!process.alive) return;
        for (const message of messages) {
          for (const sent of this.tampering.outgoing?.(message) ?? [message]) {
            onSend(sent);
            if (peers.has(sent.to)) this.#send(process, sent);
          }
        }
      },
      setPeer: (peer) => void peers.add(peer),
      removePeer: (peer) => void peers.delete(peer),
      sendSnapshot: (to, parts, signal) => this.#sendSnapshot(process, id, to, parts, signal),
      close: async () => undefined,
    };
  }

  #send(sender: SimProcess, message: RaftMessage): void {
    const { from, to } = message;
    this.network.send(RaftMessage.decode(RaftMessage.encode(message).finish()));
    if (this.#ends.has(to) && !this.network.isCut(from, to)) return;
    if (this.#random.below(4) > 0) return;
    sender.after(1 + this.#random.below(100), () => {
      this.#ends.get(from)?.receiver.reportUnreachable(to as ServerId);
    });
  }

  #deliver(message: RaftMessage): void {
    const to = this.#ends.get(message.to);
    if (to === undefined) return;
    to.process.run(() => {
      const { type, from, term, index, commit, reject, entries, context } = message;
      this.#world.trace(
        `${from}>${message.to} ${type} t${term} i${index} c${commit} ${reject ? 'no' : ''} ${entries.length} ${context}`,
      );
      const sender = this.#ends.get(from);
      const address = sender?.address ?? `${from}:1`;
      to.receiver.onMessages([message], { id: from as ServerId, address, clusterId: this.#clusterId });
    });
  }

  async #sendSnapshot(
    sender: SimProcess,
    from: string,
    to: string,
    parts: AsyncIterable<SnapshotPart>,
    signal: AbortSignal,
  ): Promise<void> {
    await sender.sleep(1 + this.#random.below(20), signal);
    const end = this.#ends.get(to);
    if (end === undefined || this.network.isCut(from, to)) throw new Error(`${to} is unreachable`);
    this.#world.trace(`${from} sends a snapshot to ${to}`);
    const stream = this.#open(from, to);
    const onAbort = (): void => stream.break('cancelled');
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      const wire = this.#wire(sender, stream, this.tampering.snapshot?.(parts) ?? parts);
      const received = new Promise<void>((resolve, reject) => {
        end.process.run(() => {
          end.receiver.onSnapshot(wire).then(resolve, reject);
        });
      });
      await Promise.race([received, stream.broken]);
      await Promise.race([sender.sleep(1 + this.#random.below(10)), stream.broken]);
      if (this.network.isCut(to, from)) throw new Error(`no answer from ${to}`);
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.#streams.delete(stream);
    }
  }

  #open(from: string, to: string): SnapshotStream {
    let reject: (error: Error) => void = () => undefined;
    const broken = new Promise<never>((_, fail) => {
      reject = fail;
    });
    broken.catch(() => undefined);
    const stream = { from, to, broken, break: (reason: string) => reject(new Error(reason)) };
    this.#streams.add(stream);
    return stream;
  }

  async *#wire(
    sender: SimProcess,
    stream: SnapshotStream,
    parts: AsyncIterable<SnapshotPart>,
  ): AsyncIterableIterator<SnapshotPart> {
    const iterator = parts[Symbol.asyncIterator]();
    try {
      for (;;) {
        await Promise.race([sender.sleep(1 + this.#random.below(20)), stream.broken]);
        if (this.network.isCut(stream.from, stream.to) || this.#random.next() < this.#snapshotLoss) {
          stream.break('the stream broke');
        }
        const next = await Promise.race([iterator.next(), stream.broken]);
        if (next.done === true) return;
        yield SnapshotPart.decode(SnapshotPart.encode(next.value).finish());
      }
    } finally {
      // Not waited for: its process may be dead.
      if (sender.alive) iterator.return?.().catch(() => undefined);
    }
  }
}
