import { FsError } from '../base/errno.ts';
import { CLIENT_BACKOFF_MS_MAX, CLIENT_BACKOFF_MS_MIN, NODE_DOWN_MS, NODE_STILL_MS } from '../base/limits.ts';
import type { Random } from '../base/random.ts';
import { BlockErrorCode, type BlockReply, type BlockRequest } from '../gen/ringfs/v1/block.ts';
import type { Timers } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import { type BodyOf, type RpcConnection, type RpcConnector, RpcError } from '../ports/rpc.ts';
import { Backoff } from './backoff.ts';
import { SilenceWatch } from './silence-watch.ts';

export type BlockConnection = RpcConnection<BlockRequest, BlockReply>;
export type BlockRequestBody = NonNullable<BodyOf<BlockRequest>>;
export type BlockReplyBody = NonNullable<BodyOf<BlockReply>>;

const CONNECT_TIMEOUT_MS = 1_000;
const HELLO_TIMEOUT_MS = 2_000;
const PROBE_HELLO_TIMEOUT_MS = 1_000;

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
  readonly watch: SilenceWatch;
  next = 0;
  outstanding = 0;
  /** Tried last until then. */
  downUntilMs = 0;
  /** It stood still, and has not been heard of since. */
  still = false;
  /** Not connected to before then. */
  retryAtMs = 0;
  refused: FsError | undefined;

  constructor(address: string, backoff: Backoff, watch: SilenceWatch, perNode: number) {
    this.address = address;
    this.backoff = backoff;
    this.watch = watch;
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
  /** How often one stood still. */
  nodesStill = 0;

  constructor(components: ConnectionsComponents, options: ConnectionsOptions) {
    this.#c = components;
    this.#options = options;
  }

  /** It could not be reached a moment ago. */
  down(address: string): boolean {
    const node = this.#nodes.get(address);
    return node !== undefined && (node.still || node.downUntilMs > this.#c.timers.nowMs());
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
      return await this.#watched(node, () =>
        connection.call(body, signal === undefined ? { timeoutMs } : { timeoutMs, signal }),
      );
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
      node.watch.close();
      closeStreams(node);
    }
    this.#nodes.clear();
  }

  async #watched(node: Node, call: () => Promise<BlockReplyBody>): Promise<BlockReplyBody> {
    let answered = false;
    node.watch.callBegins();
    try {
      const reply = await call();
      answered = true;
      node.downUntilMs = 0;
      node.still = false;
      return reply;
    } finally {
      node.watch.callEnds(answered);
    }
  }

  /** What waits for it fails, and goes to other nodes. It is tried last until it lives again. */
  #standsStill(node: Node): void {
    const { logger } = this.#c;
    logger.warn({ address: node.address, waiting: node.outstanding }, 'a block node does not answer');
    closeStreams(node);
    if (node.still) return;
    node.still = true;
    this.nodesStill++;
    void this.#untilItLives(node);
  }

  async #untilItLives(node: Node): Promise<void> {
    const { logger, timers } = this.#c;
    const untilMs = timers.nowMs() + NODE_STILL_MS;
    let lives = false;
    do {
      await timers.sleep(NODE_DOWN_MS);
      if (this.#closed || !node.still) return;
      lives = await this.#lives(node.address);
    } while (!lives && timers.nowMs() < untilMs);
    node.still = false;
    logger.info({ address: node.address, lives }, 'a block node is tried again');
  }

  /** On a connection of its own: on a stream, the question would wait behind the blocks that are being sent. */
  async #lives(address: string): Promise<boolean> {
    try {
      const connection = await this.#connect(address, () => undefined, PROBE_HELLO_TIMEOUT_MS);
      connection.close();
      return true;
    } catch {
      return false;
    }
  }

  #node(address: string): Node {
    let node = this.#nodes.get(address);
    if (node === undefined) {
      const backoff = new Backoff(this.#c.random, {
        minMs: CLIENT_BACKOFF_MS_MIN,
        maxMs: CLIENT_BACKOFF_MS_MAX,
      });
      const watch = new SilenceWatch(this.#c.timers, {
        probe: () => this.#lives(address),
        onSilent: () => this.#standsStill(made),
      });
      const made = new Node(address, backoff, watch, this.#options.perNode ?? 1);
      node = made;
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
    const stream = this.#connect(node.address, forget, HELLO_TIMEOUT_MS);
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

  async #connect(address: string, onClose: () => void, helloTimeoutMs: number): Promise<BlockConnection> {
    const connection = await this.#c.connector.connect(address, {
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      onClose,
    });
    try {
      await this.#hello(address, connection, helloTimeoutMs);
      if (this.#closed) throw new RpcError('cancelled', 'the client is closed');
    } catch (error) {
      connection.close();
      throw error;
    }
    return connection;
  }

  async #hello(address: string, connection: BlockConnection, timeoutMs: number): Promise<void> {
    const { clusterId, clientName } = this.#options;
    const reply = await connection.call(
      { $case: 'hello', value: { clusterId, from: clientName } },
      { timeoutMs },
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

function closeStreams(node: Node): void {
  for (const stream of node.streams) {
    stream?.then(
      (connection) => connection.close(),
      () => {
        // It never came to be.
      },
    );
  }
}
