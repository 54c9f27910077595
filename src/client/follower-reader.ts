import { ERRNO } from '../base/errno.ts';
import { FOLLOWER_CALL_TIMEOUT_MS } from '../base/limits.ts';
import type { Random } from '../base/random.ts';
import type { MetaReply, MetaRequest } from '../gen/ringfs/v1/meta.ts';
import type { Logger } from '../ports/logger.ts';
import type { BodyOf, RpcConnection, RpcConnector } from '../ports/rpc.ts';

type RequestBody = NonNullable<BodyOf<MetaRequest>>;
type ReplyBody = NonNullable<BodyOf<MetaReply>>;

export interface FollowerReaderComponents {
  readonly connector: RpcConnector<MetaRequest, MetaReply>;
  readonly random: Random;
  readonly logger: Logger;
  /** Of all known servers. */
  readonly addresses: () => readonly string[];
  readonly clusterId: () => string;
}

const READS: ReadonlySet<RequestBody['$case']> = new Set([
  'lookup',
  'getAttr',
  'readDir',
  'getChunks',
  'getXattr',
  'listXattr',
]);

/**
 * Reads at any server that answers, for a client that does not reach the leader. They are as linearizable as those of the leader, which
 * the server asks, but nothing is leased with them.
 */
export class FollowerReader {
  readonly #c: FollowerReaderComponents;
  readonly #name: string;
  #connection: { readonly address: string; readonly rpc: RpcConnection<MetaRequest, MetaReply> } | undefined;
  #opening:
    | { readonly address: string; readonly rpc: Promise<RpcConnection<MetaRequest, MetaReply>> }
    | undefined;
  #closed = false;
  answers = 0;

  constructor(components: FollowerReaderComponents, options: { readonly clientName: string }) {
    this.#c = components;
    this.#name = options.clientName;
  }

  takes(body: RequestBody): boolean {
    return READS.has(body.$case);
  }

  /** Asks each server once, the last that answered first. Undefined: nobody could answer. */
  async ask(body: RequestBody, timeoutMs: number): Promise<ReplyBody | undefined> {
    const known = this.#c.addresses();
    const start = known.length === 0 ? 0 : this.#c.random.below(known.length);
    const last = this.#connection?.address;
    const order = [...known.slice(start), ...known.slice(0, start)];
    if (last !== undefined) order.unshift(last);
    for (const address of new Set(order)) {
      if (this.#closed) return undefined;
      const reply = await this.#askAt(address, body, Math.min(timeoutMs, FOLLOWER_CALL_TIMEOUT_MS));
      if (reply !== undefined) {
        this.answers++;
        return reply;
      }
    }
    return undefined;
  }

  /** The leader is there again. */
  release(): void {
    this.#connection?.rpc.close();
    this.#connection = undefined;
  }

  close(): void {
    this.#closed = true;
    this.release();
  }

  async #askAt(address: string, body: RequestBody, timeoutMs: number): Promise<ReplyBody | undefined> {
    try {
      const rpc = await this.#connect(address, timeoutMs);
      const reply = await rpc.call(body, { timeoutMs });
      if (reply.$case !== 'notLeader' && !isPassing(reply)) return reply;
    } catch (error) {
      this.#c.logger.debug({ err: error, address }, 'no answer to a read without the leader');
    }
    if (this.#connection?.address === address) this.release();
    return undefined;
  }

  /** One connection for all who ask the same server. */
  #connect(address: string, timeoutMs: number): Promise<RpcConnection<MetaRequest, MetaReply>> {
    const known = this.#connection;
    if (known?.address === address && known.rpc.open) return Promise.resolve(known.rpc);
    if (this.#opening?.address === address) return this.#opening.rpc;
    const rpc = this.#open(address, timeoutMs).finally(() => {
      if (this.#opening === opening) this.#opening = undefined;
    });
    const opening = { address, rpc };
    this.#opening = opening;
    return rpc;
  }

  async #open(address: string, timeoutMs: number): Promise<RpcConnection<MetaRequest, MetaReply>> {
    const rpc = await this.#c.connector.connect(address);
    const value = {
      session: 0,
      nonce: new Uint8Array(0),
      client: this.#name,
      clusterId: this.#c.clusterId(),
      observer: true,
    };
    try {
      const hello = await rpc.call({ $case: 'hello', value }, { timeoutMs });
      if (hello.$case !== 'hello') throw new Error(`a hello was answered with ${hello.$case}`);
      if (this.#closed) throw new Error('closed');
    } catch (error) {
      rpc.close();
      throw error;
    }
    // Another question may have found another server meanwhile.
    this.release();
    this.#connection = { address, rpc };
    return rpc;
  }
}

/** Another server, or the same one later, may know better: busy, or of a version that answers no such reads. */
function isPassing(reply: ReplyBody): boolean {
  return (
    reply.$case === 'error' && (reply.value.errno === ERRNO.EAGAIN || reply.value.errno === ERRNO.EPROTO)
  );
}
