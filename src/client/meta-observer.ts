import type { Random } from '../base/random.ts';
import type {
  BlockNodeReport,
  BlockNodeReportReply,
  MetaReply,
  MetaRequest,
  ReadPoint,
  Topology,
} from '../gen/ringfs/v1/meta.ts';
import type { BlockCopy, BlockNodeInfo } from '../gen/ringfs/v1/namespace.ts';
import type { Timers } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import type { BodyOf, RpcConnection, RpcConnector } from '../ports/rpc.ts';

const CALL_TIMEOUT_MS = 2_000;
/** Members to try for one question: each known one, and a few hints on top while the leader moves. */
const ATTEMPTS_MAX = 8;

type Reply = NonNullable<BodyOf<MetaReply>>;
type Request = NonNullable<BodyOf<MetaRequest>>;

interface Components {
  readonly connector: RpcConnector<MetaRequest, MetaReply>;
  readonly timers: Timers;
  readonly random: Random;
  readonly logger: Logger;
}

/** Talks to the metadata cluster without a session: how block nodes report themselves and learn of each other. */
export class MetaObserver {
  readonly #components: Components;
  readonly #options: { addresses: readonly string[]; name: string; clusterId: string };
  readonly #closing = new AbortController();
  #connection: RpcConnection<MetaRequest, MetaReply> | undefined;
  #next = 0;

  constructor(
    components: Components,
    options: { addresses: readonly string[]; name: string; clusterId: string },
  ) {
    this.#components = components;
    this.#options = options;
  }

  /** Tells the leader of this block node. Throws when no leader answers. */
  async report(
    node: BlockNodeInfo,
    details: Omit<BlockNodeReport, 'node'> = {},
  ): Promise<BlockNodeReportReply> {
    const reply = await this.#ask({ $case: 'blockNodeReport', value: { node, ...details } });
    if (reply.$case !== 'blockNodeReport') throw new Error(`unexpected answer ${reply.$case}`);
    return reply.value;
  }

  /** Names copies of a block node. Resolves with how many are condemned now. Throws when no leader answers. */
  async reconcile(copies: readonly BlockCopy[]): Promise<number> {
    const reply = await this.#ask({ $case: 'reconcileBlocks', value: { copies: [...copies] } });
    if (reply.$case !== 'reconcileBlocks') throw new Error(`unexpected answer ${reply.$case}`);
    return reply.value.condemned;
  }

  /** What a follower needs to answer reads. Throws when no leader answers. */
  async readPoint(): Promise<ReadPoint> {
    const reply = await this.#ask({ $case: 'readPoint', value: {} });
    if (reply.$case !== 'readPoint') throw new Error(`unexpected answer ${reply.$case}`);
    return reply.value;
  }

  /** Which of these blocks a file refers to now. Throws when no leader answers. */
  async knownBlocks(blockIds: readonly Uint8Array[]): Promise<readonly boolean[]> {
    const reply = await this.#ask({ $case: 'knownBlocks', value: { blockIds: [...blockIds] } });
    if (reply.$case !== 'knownBlocks') throw new Error(`unexpected answer ${reply.$case}`);
    return reply.value.known;
  }

  async topology(): Promise<Topology> {
    const reply = await this.#ask({ $case: 'topology', value: {} });
    if (reply.$case !== 'topology') throw new Error(`unexpected answer ${reply.$case}`);
    return reply.value;
  }

  /** What is being asked rejects. */
  close(): void {
    this.#closing.abort(new Error('closed'));
    this.#disconnect();
  }

  #disconnect(): void {
    this.#connection?.close();
    this.#connection = undefined;
  }

  async #ask(body: Request): Promise<Reply> {
    const { signal } = this.#closing;
    let last: unknown;
    let hint: string | undefined;
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      signal.throwIfAborted();
      try {
        const connection = await this.#connect(hint);
        const reply = await connection.call(body, { timeoutMs: CALL_TIMEOUT_MS, signal });
        if (reply.$case === 'error') throw new Error(reply.value.message);
        if (reply.$case !== 'notLeader') return reply;
        hint = reply.value.leaderAddress === '' ? undefined : reply.value.leaderAddress;
        last = new Error('the metadata cluster has no leader');
      } catch (error) {
        this.#components.logger.trace({ err: error }, 'a meta server did not answer');
        last = error;
        hint = undefined;
      }
      this.#disconnect();
      if (hint === undefined)
        await this.#components.timers.sleep(20 + this.#components.random.below(80), signal);
    }
    throw last;
  }

  async #connect(hint: string | undefined): Promise<RpcConnection<MetaRequest, MetaReply>> {
    if (this.#connection?.open === true && hint === undefined) return this.#connection;
    this.#disconnect();
    const { addresses, name, clusterId } = this.#options;
    const address = hint ?? addresses[this.#next++ % addresses.length];
    if (address === undefined) throw new Error('no address of a meta server is known');
    const connection = await this.#components.connector.connect(address);
    // Kept before the hello is answered, so that it is closed whatever happens.
    this.#connection = connection;
    this.#closing.signal.throwIfAborted();
    const hello = await connection.call(
      {
        $case: 'hello',
        value: { session: 0, nonce: new Uint8Array(0), client: name, clusterId, observer: true },
      },
      { timeoutMs: CALL_TIMEOUT_MS, signal: this.#closing.signal },
    );
    if (hello.$case === 'error') throw new Error(hello.value.message);
    return connection;
  }
}
