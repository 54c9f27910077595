import { once } from 'node:events';
import type { Client, ClientDuplexStream, ClientWritableStream } from '@grpc/grpc-js';
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
import { deserializer, serializer } from './codec.ts';
import { type OpenClient, openClient } from './open-client.ts';

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
  readonly #connection: OpenClient;
  #stream: ClientDuplexStream<RaftEnvelope, RaftAck> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #delayMs = RECONNECT_DELAY_MS_MIN;
  #ready = false;
  #closed = false;

  constructor(id: ServerId, address: string, components: Components) {
    this.#id = id;
    this.#components = components;
    this.#connection = openClient(address);
    this.#connect();
  }

  get client(): Client {
    return this.#connection.client;
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
    this.#connection.destroy();
  }

  #connect(): void {
    if (this.#closed) return;
    const stream = this.client.makeBidiStreamRequest(
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
    const wasReady = this.#ready;
    this.#ready = false;
    if (this.#closed) return;
    if (wasReady) this.#components.onUnreachable?.(this.#id);
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
    signal.throwIfAborted();
    const peer = this.#peers.get(to);
    assert(peer !== undefined, `no peer ${to}`);
    const { call, done } = startSnapshot(peer.stream.client, to);
    const onAbort = (): void => call.cancel();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      await Promise.race([writeParts(call, parts), done]);
      await done;
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    } finally {
      signal.removeEventListener('abort', onAbort);
      // Ends the writing too, when the peer has answered early or the parts have failed.
      call.cancel();
    }
  }

  close(): Promise<void> {
    for (const { stream } of this.#peers.values()) stream.close();
    this.#peers.clear();
    return Promise.resolve();
  }
}

function startSnapshot(
  client: Client,
  to: ServerId,
): { call: ClientWritableStream<SnapshotPart>; done: Promise<void> } {
  let call!: ClientWritableStream<SnapshotPart>;
  const done = new Promise<void>((resolve, reject) => {
    call = client.makeClientStreamRequest(
      RaftService.installSnapshot.path,
      serializer(SnapshotPart),
      deserializer(SnapshotDone),
      (error, reply) => {
        if (error !== null) reject(error);
        else if (reply?.ok === true) resolve();
        else reject(new Error(`${to} refused the snapshot: ${reply?.message ?? 'no reason given'}`));
        call.destroy();
      },
    );
  });
  return { call, done };
}

/** At the pace of the peer. Rejects when the stream has been destroyed. */
async function writeParts(
  call: ClientWritableStream<SnapshotPart>,
  parts: AsyncIterable<SnapshotPart>,
): Promise<void> {
  const closed = new Promise<void>((resolve) => void call.once('close', resolve));
  for await (const part of parts) {
    if (call.destroyed) throw new Error('the snapshot stream has ended');
    if (!call.write(part)) await Promise.race([once(call, 'drain'), closed]);
  }
  call.end();
}
