import { BLOCK_CALL_TIMEOUT_MS, PEER_BACKOFF_MAX_MS, PEER_BACKOFF_MIN_MS } from '../base/limits.ts';
import type { Random } from '../base/random.ts';
import type { BlockReply, BlockRequest } from '../gen/ringfs/v1/block.ts';
import type { Timers } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import { type RpcConnection, type RpcConnector, RpcError } from '../ports/rpc.ts';
import type { ReplyBody, RequestBody } from './wire.ts';

export interface PeersComponents {
  readonly connector: RpcConnector<BlockRequest, BlockReply>;
  readonly timers: Timers;
  readonly random: Random;
  readonly logger: Logger;
}

export interface PeersOptions {
  readonly nodeId: string;
  readonly clusterId: string;
  /** A node could not be reached any more. Called once for each time it is lost. */
  readonly onDown: (nodeId: string) => void;
  readonly onUp: (nodeId: string) => void;
}

type Connection = RpcConnection<BlockRequest, BlockReply>;

/** Blocks travel apart from the rest, so that ring messages never queue behind megabytes and a busy node looks dead. */
export type Lane = 'control' | 'data';

interface Peer {
  readonly address: string;
  readonly lane: Lane;
  /** Known after the first hello. */
  nodeId: string | undefined;
  connection: Connection | undefined;
  connecting: Promise<Connection> | undefined;
  failures: number;
  /** No attempt to connect before this time. */
  retryAtMs: number;
}

const CONNECT_TIMEOUT_MS = 1000;

/**
 * A connection per lane to each other node. A call to a node that was just found dead fails at once, so that a write never
 * waits for the same dead node twice.
 */
export class Peers {
  readonly #components: PeersComponents;
  readonly #options: PeersOptions;
  readonly #peers = new Map<string, Peer>();
  #closed = false;

  constructor(components: PeersComponents, options: PeersOptions) {
    this.#components = components;
    this.#options = options;
  }

  /** Throws RpcError. */
  async call(
    address: string,
    body: RequestBody,
    options: { readonly lane?: Lane; readonly timeoutMs?: number; readonly signal?: AbortSignal } = {},
  ): Promise<ReplyBody> {
    const { lane = 'control', ...callOptions } = options;
    const control = this.#peer(address, 'control');
    if (lane === 'data' && control.failures > 0 && control.connection === undefined) {
      throw new RpcError('unavailable', `${address} was not reachable a moment ago`);
    }
    const peer = this.#peer(address, lane);
    const connection = peer.connection ?? (await this.#connect(peer));
    return connection.call(body, { timeoutMs: BLOCK_CALL_TIMEOUT_MS, ...callOptions });
  }

  /** The node that answered at this address the last time. */
  nodeAt(address: string): string | undefined {
    return this.#peers.get(peerKey(address, 'control'))?.nodeId;
  }

  /** The node at this address has just talked to us: it is worth a try at once. */
  heardFrom(address: string): void {
    for (const lane of ['control', 'data'] as const) {
      const peer = this.#peers.get(peerKey(address, lane));
      if (peer === undefined) continue;
      peer.retryAtMs = 0;
      peer.failures = 0;
    }
  }

  /** The node at this address does not answer: end the connection, and with it all that waits for it. */
  giveUp(address: string): void {
    for (const lane of ['control', 'data'] as const) {
      const peer = this.#peers.get(peerKey(address, lane));
      if (peer?.connection === undefined) continue;
      const { connection } = peer;
      peer.connection = undefined;
      connection.close();
      this.#lost(peer);
    }
  }

  close(): void {
    this.#closed = true;
    for (const peer of this.#peers.values()) {
      const { connection } = peer;
      peer.connection = undefined;
      connection?.close();
    }
    this.#peers.clear();
  }

  #peer(address: string, lane: Lane): Peer {
    let peer = this.#peers.get(peerKey(address, lane));
    if (peer === undefined) {
      peer = {
        address,
        lane,
        nodeId: undefined,
        connection: undefined,
        connecting: undefined,
        failures: 0,
        retryAtMs: 0,
      };
      this.#peers.set(peerKey(address, lane), peer);
    }
    return peer;
  }

  #connect(peer: Peer): Promise<Connection> {
    if (this.#closed) return Promise.reject(new RpcError('unavailable', 'block node is stopping'));
    if (peer.connecting === undefined) {
      if (this.#components.timers.nowMs() < peer.retryAtMs) {
        return Promise.reject(new RpcError('unavailable', `${peer.address} was not reachable a moment ago`));
      }
      peer.connecting = this.#dial(peer).finally(() => {
        peer.connecting = undefined;
      });
    }
    return peer.connecting;
  }

  async #dial(peer: Peer): Promise<Connection> {
    try {
      const connection = await this.#components.connector.connect(peer.address, {
        connectTimeoutMs: CONNECT_TIMEOUT_MS,
        onClose: () => this.#onClose(peer),
      });
      try {
        await this.#hello(peer, connection);
      } catch (error) {
        connection.close();
        throw error;
      }
      if (this.#closed || !connection.open) {
        connection.close();
        throw new RpcError('unavailable', `${peer.address} closed the connection`);
      }
      peer.connection = connection;
      peer.failures = 0;
      peer.retryAtMs = 0;
      if (peer.nodeId !== undefined && peer.lane === 'control') this.#options.onUp(peer.nodeId);
      return connection;
    } catch (error) {
      this.#lost(peer);
      throw error instanceof RpcError
        ? error
        : new RpcError('unavailable', 'connect failed', { cause: error });
    }
  }

  async #hello(peer: Peer, connection: Connection): Promise<void> {
    const { clusterId, nodeId } = this.#options;
    const hello = { $case: 'hello', value: { clusterId, from: nodeId } } as const;
    const reply = await connection.call(hello, { timeoutMs: CONNECT_TIMEOUT_MS });
    if (reply.$case !== 'hello' || reply.value.clusterId !== clusterId) {
      const told = reply.$case === 'error' ? reply.value.message : 'another cluster';
      this.#components.logger.warn({ address: peer.address, told }, 'block node is not of this cluster');
      throw new RpcError('protocol', `${peer.address} is not of cluster ${clusterId}`);
    }
    peer.nodeId = reply.value.nodeId;
  }

  #lost(peer: Peer): void {
    const backoff = Math.min(PEER_BACKOFF_MAX_MS, PEER_BACKOFF_MIN_MS * 2 ** peer.failures);
    const jitter = 0.5 + this.#components.random.next() / 2;
    peer.failures = Math.min(peer.failures + 1, 16);
    peer.retryAtMs = this.#components.timers.nowMs() + backoff * jitter;
    if (peer.nodeId !== undefined && !this.#closed) this.#options.onDown(peer.nodeId);
  }

  /** A broken connection need not mean a dead node: one attempt to connect again tells. */
  #onClose(peer: Peer): void {
    if (this.#closed || peer.connection === undefined) return;
    peer.connection = undefined;
    this.#connect(peer).catch((error: unknown) => {
      this.#components.logger.debug({ address: peer.address, error }, 'block node is not reachable');
    });
  }
}

function peerKey(address: string, lane: Lane): string {
  return `${lane} ${address}`;
}
