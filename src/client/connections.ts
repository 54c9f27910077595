import { FsError } from '../base/errno.ts';
import { CLIENT_BACKOFF_MS_MAX, CLIENT_BACKOFF_MS_MIN, NODE_DOWN_MS } from '../base/limits.ts';
import type { Random } from '../base/random.ts';
import { BlockErrorCode, type BlockReply, type BlockRequest } from '../gen/ringfs/v1/block.ts';
import type { Timers } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import { type BodyOf, type RpcConnection, type RpcConnector, RpcError } from '../ports/rpc.ts';
import { Backoff } from './backoff.ts';

export type BlockConnection = RpcConnection<BlockRequest, BlockReply>;
export type BlockRequestBody = NonNullable<BodyOf<BlockRequest>>;
export type BlockReplyBody = NonNullable<BodyOf<BlockReply>>;

const CONNECT_TIMEOUT_MS = 1_000;
const HELLO_TIMEOUT_MS = 2_000;

export interface ConnectionsComponents {
  readonly connector: RpcConnector<BlockRequest, BlockReply>;
  readonly timers: Timers;
  readonly random: Random;
  readonly logger: Logger;
}

export interface ConnectionsOptions {
  readonly clientName: string;
  readonly clusterId: string;
  /** Streams per node; one is shared by small and large messages, and a second helps a fast network. Default 1. */
  readonly perNode?: number;
}

class Node {
  readonly address: string;
  readonly backoff: Backoff;
  readonly streams: (Promise<BlockConnection> | undefined)[];
  next = 0;
  outstanding = 0;
  /** Tried last until then. */
  downUntilMs = 0;
  /** Not connected to before then. */
  retryAtMs = 0;
  refused: FsError | undefined;

  constructor(address: string, backoff: Backoff, perNode: number) {
    this.address = address;
    this.backoff = backoff;
    this.streams = Array.from({ length: perNode }, () => undefined);
  }
}

/** Streams to block nodes by address, made when first needed and again after they broke. */
export class BlockConnections {
  readonly #c: ConnectionsComponents;
  readonly #options: ConnectionsOptions;
  /** One per address that the ring ever named: bounded by the cluster. */
  readonly #nodes = new Map<string, Node>();
  #closed = false;

  constructor(components: ConnectionsComponents, options: ConnectionsOptions) {
    this.#c = components;
    this.#options = options;
  }

  /** It could not be reached a moment ago. */
  down(address: string): boolean {
    return (this.#nodes.get(address)?.downUntilMs ?? 0) > this.#c.timers.nowMs();
  }

  /** Calls that wait for an answer. */
  outstanding(address: string): number {
    return this.#nodes.get(address)?.outstanding ?? 0;
  }

  /** Throws RpcError; FsError EIO when the node belongs to another cluster. */
  async call(
    address: string,
    body: BlockRequestBody,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal | undefined },
  ): Promise<BlockReplyBody> {
    const node = this.#node(address);
    node.outstanding++;
    try {
      const connection = await this.#connection(node);
      const { timeoutMs, signal } = options;
      if (signal?.aborted) throw new RpcError('cancelled', 'not wanted any more');
      const reply = await connection.call(body, signal === undefined ? { timeoutMs } : { timeoutMs, signal });
      node.downUntilMs = 0;
      return reply;
    } catch (error) {
      if (error instanceof RpcError && (error.code === 'unavailable' || error.code === 'deadline')) {
        node.downUntilMs = this.#c.timers.nowMs() + NODE_DOWN_MS;
      }
      throw error;
    } finally {
      node.outstanding--;
    }
  }

  close(): void {
    this.#closed = true;
    for (const node of this.#nodes.values()) {
      for (const stream of node.streams) {
        stream?.then(
          (connection) => connection.close(),
          () => {
            // It never came to be.
          },
        );
      }
    }
    this.#nodes.clear();
  }

  #node(address: string): Node {
    let node = this.#nodes.get(address);
    if (node === undefined) {
      const backoff = new Backoff(this.#c.random, {
        minMs: CLIENT_BACKOFF_MS_MIN,
        maxMs: CLIENT_BACKOFF_MS_MAX,
      });
      node = new Node(address, backoff, this.#options.perNode ?? 1);
      this.#nodes.set(address, node);
    }
    return node;
  }

  /** The next of the node's streams in turn, connecting it if need be. */
  #connection(node: Node): Promise<BlockConnection> {
    if (this.#closed) return Promise.reject(new RpcError('cancelled', 'the client is closed'));
    const slot = node.next++ % node.streams.length;
    const existing = node.streams[slot];
    if (existing !== undefined) return existing;
    const now = this.#c.timers.nowMs();
    if (now < node.retryAtMs) {
      return Promise.reject(
        node.refused ?? new RpcError('unavailable', `${node.address} could not be reached a moment ago`),
      );
    }
    const forget = (): void => {
      if (node.streams[slot] === stream) node.streams[slot] = undefined;
    };
    const stream = this.#connect(node, forget);
    node.streams[slot] = stream;
    stream.then(
      () => {
        node.backoff.reset();
        node.refused = undefined;
      },
      (error: unknown) => {
        forget();
        node.refused = error instanceof FsError ? error : undefined;
        node.retryAtMs = this.#c.timers.nowMs() + node.backoff.nextMs();
      },
    );
    return stream;
  }

  async #connect(node: Node, onClose: () => void): Promise<BlockConnection> {
    const connection = await this.#c.connector.connect(node.address, {
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      onClose,
    });
    try {
      await this.#hello(node.address, connection);
      if (this.#closed) throw new RpcError('cancelled', 'the client is closed');
    } catch (error) {
      connection.close();
      throw error;
    }
    return connection;
  }

  async #hello(address: string, connection: BlockConnection): Promise<void> {
    const { clusterId, clientName } = this.#options;
    const reply = await connection.call(
      { $case: 'hello', value: { clusterId, from: clientName } },
      { timeoutMs: HELLO_TIMEOUT_MS },
    );
    if (reply.$case === 'hello') {
      if (clusterId === '' || reply.value.clusterId === clusterId) return;
    } else if (reply.$case === 'error' && reply.value.code !== BlockErrorCode.WRONG_CLUSTER) {
      throw new RpcError('unavailable', `${address}: ${reply.value.message}`);
    }
    this.#c.logger.error({ address, clusterId }, 'block node belongs to another cluster');
    throw new FsError('EIO', `${address} belongs to another cluster`);
  }
}
