import type { Timers } from '../../src/ports/clock.ts';
import {
  type BodyOf,
  type RpcAcceptor,
  type RpcCallOptions,
  type RpcConnection,
  type RpcConnectOptions,
  type RpcConnector,
  RpcError,
  type RpcMessage,
  type RpcPeer,
  type RpcStreamHandler,
} from '../../src/ports/rpc.ts';

export interface MemoryNetworkOptions {
  /** One-way latency of a message; called for each. Default 0: delivered on a timer without delay. */
  readonly latencyMs?: () => number;
  /** A stream across a partition breaks after this time, as keepalive would do it. Default 5,000 ms. */
  readonly keepaliveMs?: number;
  /** The process of that name: its timers, and a way to run something there when it can. Default: the network's own timers,
   * and at once. */
  readonly process?: (name: string) => { readonly timers: Timers; run(action: () => void): void };
  /** Copies messages, for example through their wire form. Default: passes the same object. */
  readonly copyRequest?: (message: never) => unknown;
  readonly copyReply?: (message: never) => unknown;
}

type Body = { readonly $case: string; readonly value: unknown };

/** Seen by `onDeliver` hooks: every message that the network carries. */
export interface DeliveredMessage {
  readonly from: string;
  readonly to: string;
  readonly kind: 'request' | 'reply';
  readonly id: number;
  readonly body: Body;
}

interface Stream {
  readonly client: string;
  readonly server: string;
  break(reason: string): void;
}

/**
 * A network of stream services by address. Streams are ordered and lose nothing while they last, like TCP: a
 * partition holds messages back, and breaks the stream when it lasts longer than the keepalive time.
 */
export class MemoryNetwork<Req extends RpcMessage, Res extends RpcMessage> {
  readonly #timers: Timers;
  readonly #options: MemoryNetworkOptions;
  readonly #listeners = new Map<string, RpcAcceptor<Req, Res>>();
  readonly #streams = new Set<Stream>();
  readonly #cut = new Set<string>();
  readonly #held: { readonly to: string; readonly run: () => void }[] = [];
  /** Test hook: return false to swallow the message for good (its call then times out). */
  onDeliver: ((message: DeliveredMessage) => boolean | undefined) | undefined;

  constructor(components: { readonly timers: Timers }, options: MemoryNetworkOptions = {}) {
    this.#timers = components.timers;
    this.#options = options;
  }

  /** Accept streams at `address`. */
  listen(address: string, acceptor: RpcAcceptor<Req, Res>): void {
    this.#listeners.set(address, acceptor);
  }

  /** The process at `address` dies: its streams in both directions break and connects are refused. */
  kill(address: string): void {
    this.#listeners.delete(address);
    this.breakStreams(address);
  }

  /** Break the streams of `address` (with `peer` only, if given). New ones may be made. */
  breakStreams(address: string, peer?: string): void {
    for (const stream of [...this.#streams]) {
      const ends = [stream.client, stream.server];
      if (ends.includes(address) && (peer === undefined || ends.includes(peer)))
        stream.break('stream broken');
    }
  }

  /** No message passes between the two groups, and connects time out, until healed. */
  partition(groupA: readonly string[], groupB: readonly string[]): void {
    for (const a of groupA) {
      for (const b of groupB) {
        this.#cut.add(wayKey(a, b));
        this.#cut.add(wayKey(b, a));
      }
    }
    this.#breakLater();
  }

  /** No message passes from one to the other; answers do. */
  cutOneWay(from: string, to: string): void {
    this.#cut.add(wayKey(from, to));
    this.#breakLater();
  }

  heal(): void {
    this.#cut.clear();
    for (const { to, run } of this.#held.splice(0)) this.#process(to).run(run);
  }

  /** Streams that are still cut when keepalive has noticed end. */
  #breakLater(): void {
    const across = [...this.#streams].filter((s) => this.#isCut(s.client, s.server));
    this.#timers.after(this.#options.keepaliveMs ?? 5000, () => {
      for (const s of across) if (this.#isCut(s.client, s.server)) s.break('keepalive');
    });
  }

  #isCut(a: string, b: string): boolean {
    return this.#cut.has(wayKey(a, b)) || this.#cut.has(wayKey(b, a));
  }

  #process(name: string): { readonly timers: Timers; run(action: () => void): void } {
    return this.#options.process?.(name) ?? { timers: this.#timers, run: (action) => action() };
  }

  /** A connector for the process at `from`. */
  connector(from: string): RpcConnector<Req, Res> {
    return { connect: (address, options) => this.#connect(from, address, options) };
  }

  async #connect(
    from: string,
    address: string,
    options: RpcConnectOptions<Res> = {},
  ): Promise<RpcConnection<Req, Res>> {
    const { timers } = this.#process(from);
    if (this.#isCut(from, address)) {
      await timers.sleep(options.connectTimeoutMs ?? 2000);
      throw new RpcError('unavailable', `connect to ${address} timed out`);
    }
    await timers.sleep(this.#latency() + this.#latency());
    const acceptor = this.#listeners.get(address);
    if (acceptor === undefined || this.#isCut(from, address)) {
      throw new RpcError('unavailable', `connection refused by ${address}`);
    }
    const stream = new MemoryStream<Req, Res>(
      {
        timers,
        nowMs: () => this.#timers.nowMs(),
        carry: (sender, receiver, at, run) => this.#carry(sender, receiver, at, run),
      },
      {
        client: from,
        server: address,
        connect: options,
        latencyMs: () => this.#latency(),
        copyRequest: (this.#options.copyRequest ?? ((m: unknown) => m)) as (m: Req) => Req,
        copyReply: (this.#options.copyReply ?? ((m: unknown) => m)) as (m: Res) => Res,
        deliver: (message) => this.onDeliver?.(message) !== false,
        ended: () => this.#streams.delete(stream),
      },
    );
    this.#streams.add(stream);
    stream.accept(acceptor);
    return stream;
  }

  #latency(): number {
    return this.#options.latencyMs?.() ?? 0;
  }

  /** Runs `run` at time `at`, later if there is a partition then. */
  #carry(from: string, to: string, at: number, run: () => void): void {
    this.#timers.after(at - this.#timers.nowMs(), () => {
      if (this.#cut.has(wayKey(from, to))) this.#held.push({ to, run });
      else this.#process(to).run(run);
    });
  }
}

function wayKey(from: string, to: string): string {
  return `${from} ${to}`;
}

interface StreamComponents {
  /** The client's. */
  readonly timers: Timers;
  /** The network's time. */
  readonly nowMs: () => number;
  readonly carry: (from: string, to: string, at: number, run: () => void) => void;
}

interface StreamOptions<Req extends RpcMessage, Res extends RpcMessage> {
  readonly client: string;
  readonly server: string;
  readonly connect: RpcConnectOptions<Res>;
  readonly latencyMs: () => number;
  readonly copyRequest: (message: Req) => Req;
  readonly copyReply: (message: Res) => Res;
  readonly deliver: (message: DeliveredMessage) => boolean;
  readonly ended: () => void;
}

interface PendingCall<Res extends RpcMessage> {
  resolve(body: NonNullable<BodyOf<Res>>): void;
  reject(error: Error): void;
}

class MemoryStream<Req extends RpcMessage, Res extends RpcMessage>
  implements RpcConnection<Req, Res>, RpcPeer<Res>, Stream
{
  readonly client: string;
  readonly server: string;
  readonly remote: string;
  readonly #components: StreamComponents;
  readonly #options: StreamOptions<Req, Res>;
  readonly #calls = new Map<number, PendingCall<Res>>();
  #handler: RpcStreamHandler<Req, Res> | undefined;
  #nextId = 1;
  #open = true;
  #lastUp = 0;
  #lastDown = 0;

  constructor(components: StreamComponents, options: StreamOptions<Req, Res>) {
    this.#components = components;
    this.#options = options;
    this.client = options.client;
    this.server = options.server;
    this.remote = options.client;
  }

  accept(acceptor: RpcAcceptor<Req, Res>): void {
    this.#handler = acceptor(this);
  }

  get open(): boolean {
    return this.#open;
  }

  call(body: NonNullable<BodyOf<Req>>, options: RpcCallOptions = {}): Promise<NonNullable<BodyOf<Res>>> {
    if (!this.#open) return Promise.reject(new RpcError('unavailable', 'stream is closed'));
    if (options.signal?.aborted) return Promise.reject(new RpcError('cancelled', 'aborted'));
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const finish = (): void => {
        timer.cancel();
        options.signal?.removeEventListener('abort', onAbort);
        this.#calls.delete(id);
      };
      const fail = (error: Error): void => {
        finish();
        reject(error);
      };
      const onAbort = (): void => fail(new RpcError('cancelled', 'aborted'));
      const timer = this.#components.timers.after(options.timeoutMs ?? 10_000, () =>
        fail(new RpcError('deadline', `no answer from ${this.server}`)),
      );
      options.signal?.addEventListener('abort', onAbort, { once: true });
      this.#calls.set(id, {
        resolve: (reply) => {
          finish();
          resolve(reply);
        },
        reject: fail,
      });
      this.#up(id, body);
    });
  }

  send(body: NonNullable<BodyOf<Req>>): void {
    if (this.#open) this.#up(0, body);
  }

  push(body: NonNullable<BodyOf<Res>>): void {
    this.#down(0, body);
  }

  close(): void {
    this.break('closed');
  }

  break(reason: string): void {
    if (!this.#open) return;
    this.#open = false;
    this.#options.ended();
    const error = new RpcError('unavailable', `${this.server}: ${reason}`);
    for (const call of [...this.#calls.values()]) call.reject(error);
    this.#handler?.onClose();
    this.#options.connect.onClose?.(error);
  }

  #up(id: number, body: NonNullable<BodyOf<Req>>): void {
    const message = this.#options.copyRequest({ id, body } as unknown as Req) as unknown as { body: Body };
    this.#lastUp = Math.max(this.#lastUp, this.#components.nowMs() + this.#options.latencyMs());
    this.#components.carry(this.client, this.server, this.#lastUp, () => {
      if (!this.#open) return;
      const delivered = {
        from: this.client,
        to: this.server,
        kind: 'request',
        id,
        body: message.body,
      } as const;
      if (!this.#options.deliver(delivered)) return;
      this.#handler?.onRequest(message.body as never).then(
        (reply) => {
          if (reply !== undefined && id !== 0) this.#down(id, reply);
        },
        () => this.break('handler failed'),
      );
    });
  }

  #down(id: number, body: NonNullable<BodyOf<Res>>): void {
    if (!this.#open) return;
    const message = this.#options.copyReply({ id, body } as unknown as Res) as unknown as { body: Body };
    this.#lastDown = Math.max(this.#lastDown, this.#components.nowMs() + this.#options.latencyMs());
    this.#components.carry(this.server, this.client, this.#lastDown, () => {
      if (!this.#open) return;
      const delivered = {
        from: this.server,
        to: this.client,
        kind: 'reply',
        id,
        body: message.body,
      } as const;
      if (!this.#options.deliver(delivered)) return;
      if (id === 0) this.#options.connect.onPush?.(message.body as never);
      else this.#calls.get(id)?.resolve(message.body as never);
    });
  }
}
