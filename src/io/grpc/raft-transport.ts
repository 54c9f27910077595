import { once } from 'node:events';
import { Client, type ClientDuplexStream, credentials } from '@grpc/grpc-js';
import { assert } from '../../base/assert.ts';
import type { ServerId } from '../../base/ids.ts';
import {
  RaftAck,
  RaftEnvelope,
  type RaftMessage,
  SnapshotDone,
  SnapshotPart,
} from '../../gen/ringfs/v1/raft.ts';
import { RaftService } from '../../gen/ringfs/v1/service.ts';
import type { Logger } from '../../ports/logger.ts';
import type { RaftTransport } from '../../ports/raft-transport.ts';
import { CLIENT_OPTIONS } from './channel-options.ts';
import { deserializer, serializer } from './codec.ts';

/** Envelopes waiting in one peer's stream; more are dropped, as a network would. */
const QUEUED_ENVELOPES_MAX = 256;
const RECONNECT_DELAY_MS_MIN = 50;
const RECONNECT_DELAY_MS_MAX = 500;

export interface GrpcRaftTransportOptions {
  readonly id: ServerId;
  /** host:port that peers may answer to. */
  readonly address: string;
  readonly clusterId: string;
}

interface Components {
  readonly logger: Logger;
  /** Told when a peer's stream breaks, so that Raft probes it instead of streaming at it. */
  readonly onUnreachable?: (id: ServerId) => void;
}

/** One outgoing stream per peer, reconnected for as long as the peer is a member. */
class PeerStream {
  readonly #id: ServerId;
  readonly #components: Components;
  readonly #client: Client;
  #stream: ClientDuplexStream<RaftEnvelope, RaftAck> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #delayMs = RECONNECT_DELAY_MS_MIN;
  #ready = false;
  #closed = false;

  constructor(id: ServerId, address: string, components: Components) {
    this.#id = id;
    this.#components = components;
    this.#client = new Client(address, credentials.createInsecure(), CLIENT_OPTIONS);
    this.#connect();
  }

  get client(): Client {
    return this.#client;
  }

  send(envelope: RaftEnvelope): void {
    if (!this.#ready || this.#stream === undefined) return;
    if (this.#stream.writableLength >= QUEUED_ENVELOPES_MAX) {
      this.#components.onUnreachable?.(this.#id);
      return;
    }
    this.#stream.write(envelope);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#stream?.cancel();
    this.#client.close();
  }

  #connect(): void {
    if (this.#closed) return;
    const stream = this.#client.makeBidiStreamRequest(
      RaftService.messages.path,
      serializer(RaftEnvelope),
      deserializer(RaftAck),
    );
    this.#stream = stream;
    stream.on('metadata', () => {
      this.#ready = true;
      this.#delayMs = RECONNECT_DELAY_MS_MIN;
    });
    stream.on('data', () => {});
    stream.on('error', () => this.#broken(stream));
    stream.on('end', () => this.#broken(stream));
  }

  #broken(stream: ClientDuplexStream<RaftEnvelope, RaftAck>): void {
    if (this.#stream !== stream) return;
    this.#stream = undefined;
    stream.cancel();
    if (this.#ready) this.#components.onUnreachable?.(this.#id);
    this.#ready = false;
    if (this.#closed) return;
    this.#timer = setTimeout(() => this.#connect(), this.#delayMs);
    this.#timer.unref();
    this.#delayMs = Math.min(this.#delayMs * 2, RECONNECT_DELAY_MS_MAX);
  }
}

export class GrpcRaftTransport implements RaftTransport {
  readonly #components: Components;
  readonly #options: GrpcRaftTransportOptions;
  readonly #peers = new Map<ServerId, { address: string; stream: PeerStream }>();

  constructor(components: Components, options: GrpcRaftTransportOptions) {
    this.#components = components;
    this.#options = options;
  }

  setPeer(id: ServerId, address: string): void {
    if (id === this.#options.id) return;
    const known = this.#peers.get(id);
    if (known?.address === address) return;
    known?.stream.close();
    this.#peers.set(id, { address, stream: new PeerStream(id, address, this.#components) });
  }

  removePeer(id: ServerId): void {
    this.#peers.get(id)?.stream.close();
    this.#peers.delete(id);
  }

  send(messages: readonly RaftMessage[]): void {
    const byPeer = new Map<ServerId, RaftMessage[]>();
    for (const message of messages) {
      const to = message.to as ServerId;
      const list = byPeer.get(to);
      if (list === undefined) byPeer.set(to, [message]);
      else list.push(message);
    }
    const { id, address, clusterId } = this.#options;
    for (const [to, list] of byPeer) {
      this.#peers.get(to)?.stream.send({ clusterId, messages: list, from: id, fromAddress: address });
    }
  }

  async sendSnapshot(to: ServerId, parts: AsyncIterable<SnapshotPart>, signal: AbortSignal): Promise<void> {
    const peer = this.#peers.get(to);
    assert(peer !== undefined, `no peer ${to}`);
    let settle: { resolve: () => void; reject: (error: Error) => void } | undefined;
    const done = new Promise<void>((resolve, reject) => {
      settle = { resolve, reject };
    });
    const call = peer.stream.client.makeClientStreamRequest(
      RaftService.installSnapshot.path,
      serializer(SnapshotPart),
      deserializer(SnapshotDone),
      (error, reply) => {
        if (error !== null) settle?.reject(error);
        else if (reply?.ok === true) settle?.resolve();
        else settle?.reject(new Error(`${to} refused the snapshot: ${reply?.message ?? 'no reason given'}`));
      },
    );
    const onAbort = (): void => call.cancel();
    signal.addEventListener('abort', onAbort, { once: true });
    let failed = false;
    done.catch(() => {
      failed = true;
    });
    try {
      for await (const part of parts) {
        if (failed || signal.aborted) break;
        if (!call.write(part)) await Promise.race([once(call, 'drain'), done]);
      }
      call.end();
      await done;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  close(): Promise<void> {
    for (const { stream } of this.#peers.values()) stream.close();
    this.#peers.clear();
    return Promise.resolve();
  }
}
