import { FsError } from '../base/errno.ts';
import type { BlockId } from '../base/ids.ts';
import { BLOCK_CALL_TIMEOUT_MS, CLIENT_BACKOFF_MS_MAX, CLIENT_BACKOFF_MS_MIN } from '../base/limits.ts';
import type { Random } from '../base/random.ts';
import { BlockErrorCode } from '../gen/ringfs/v1/block.ts';
import type { Timers } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import { RpcError } from '../ports/rpc.ts';
import { Backoff } from './backoff.ts';
import { blockIdOfLarge } from './block-id.ts';
import type { BlockConnections } from './connections.ts';
import type { Deadline } from './deadline.ts';
import type { RingCache } from './ring-cache.ts';

export interface BlockGetComponents {
  readonly connections: BlockConnections;
  readonly ring: RingCache;
  readonly timers: Timers;
  readonly random: Random;
  readonly logger: Logger;
  /** See BlockClientComponents. */
  readonly everyNode: () => Promise<readonly string[]>;
}

/** What one node had. `bad`: it answered, and has no good copy. `failed`: it did not answer. */
type Copy =
  | { readonly type: 'good'; readonly address: string; readonly data: Uint8Array }
  | { readonly type: 'bad' | 'failed'; readonly address: string; readonly cause: unknown };

export interface Fetched {
  readonly data: Uint8Array;
  /** Answered without a good copy; not all of them need to be owners. */
  readonly bad: readonly string[];
}

interface Round {
  readonly good: Uint8Array | undefined;
  readonly bad: readonly string[];
  readonly failed: number;
  readonly cause: unknown;
}

/** Fetches blocks from their owners and believes nothing that does not have the hash it was asked for. */
export class BlockGet {
  readonly #c: BlockGetComponents;
  readonly #hedgeDelayMs: number;
  hedges = 0;
  missing = 0;
  corrupt = 0;

  constructor(components: BlockGetComponents, options: { readonly hedgeDelayMs: number }) {
    this.#c = components;
    this.#hedgeDelayMs = options.hedgeDelayMs;
  }

  /** Throws FsError EIO when every node was asked and none has a good copy, ETIMEDOUT. */
  async fetch(id: BlockId, key: Uint8Array, deadline: Deadline): Promise<Fetched> {
    const backoff = new Backoff(this.#c.random, {
      minMs: CLIENT_BACKOFF_MS_MIN,
      maxMs: CLIENT_BACKOFF_MS_MAX,
    });
    // Ends at the deadline.
    for (let round = 1; ; round++) {
      const owners = await this.#owners(id, key, deadline);
      const first = await this.#askAll(id, key, owners, deadline);
      if (first.good !== undefined) return { data: first.good, bad: first.bad };
      // The ring may have moved since it was learned; after that, whoever held the block before still may have it.
      this.#c.ring.forget(id);
      const fresh = await this.#owners(id, key, deadline);
      const others = await this.#others(fresh, owners, deadline);
      const second = await this.#askAll(id, key, others, deadline);
      if (second.good !== undefined) {
        return { data: second.good, bad: [...first.bad, ...second.bad] };
      }
      const cause = second.cause ?? first.cause;
      const asked = first.bad.length + second.bad.length;
      if (first.failed + second.failed === 0 && asked > 0 && round > 1) {
        const { good, failed } = await this.#askSilent(id, key, [...owners, ...others], deadline);
        if (good !== undefined) return { data: good, bad: [] };
        if (failed === 0) {
          this.#c.logger.error({ block: id, nodes: asked, err: cause }, 'no node has a good copy of a block');
          throw new FsError('EIO', `no good copy of block ${id}`, { cause });
        }
      }
      await deadline.sleep(backoff.nextMs(), cause);
    }
  }

  /** None when nobody knows them now. */
  async #owners(id: BlockId, key: Uint8Array, deadline: Deadline): Promise<readonly string[]> {
    try {
      return await this.#c.ring.owners(id, key, deadline);
    } catch (error) {
      if (!(error instanceof RpcError)) throw error;
      this.#c.logger.debug({ block: id, err: error }, 'owners of a block not found');
      return [];
    }
  }

  async #others(
    fresh: readonly string[],
    asked: readonly string[],
    deadline: Deadline,
  ): Promise<readonly string[]> {
    const all = [...fresh, ...(await this.#c.ring.nodes(deadline))];
    return [...new Set(all)].filter((address) => !asked.includes(address));
  }

  /** Those that the meta cluster does not hear of. One that is cut off from it may have taken the block, as the only one. */
  async #askSilent(
    id: BlockId,
    key: Uint8Array,
    asked: readonly string[],
    deadline: Deadline,
  ): Promise<Round> {
    const everyNode = await deadline.race(this.#c.everyNode());
    return await this.#askAll(
      id,
      key,
      everyNode.filter((address) => !asked.includes(address)),
      deadline,
    );
  }

  /** Living nodes before dead ones, idle before busy ones, and the rest by the block, so that load spreads. */
  #ordered(addresses: readonly string[], key: Uint8Array): readonly string[] {
    const turn = (key[0] ?? 0) + (key[1] ?? 0) * 256;
    const ranked = addresses.map((address, i) => ({
      address,
      down: this.#c.connections.down(address) ? 1 : 0,
      busy: this.#c.connections.outstanding(address),
      turn: (i + turn) % addresses.length,
    }));
    ranked.sort((a, b) => a.down - b.down || a.busy - b.busy || a.turn - b.turn);
    return ranked.map((r) => r.address);
  }

  /** Asks one after the other: the next as soon as one has failed, or has not answered for the hedge delay. */
  #askAll(id: BlockId, key: Uint8Array, addresses: readonly string[], deadline: Deadline): Promise<Round> {
    const queue = [...this.#ordered(addresses, key)];
    const bad: string[] = [];
    const abort = new AbortController();
    let failed = 0;
    let cause: unknown;
    let running = 0;
    return new Promise((resolve) => {
      const finish = (good: Uint8Array | undefined): void => {
        hedge.cancel();
        abort.abort();
        resolve({ good, bad, failed, cause });
      };
      const settled = (copy: Copy): void => {
        running--;
        if (abort.signal.aborted) return;
        if (copy.type === 'good') {
          finish(copy.data);
          return;
        }
        cause = copy.cause;
        if (copy.type === 'bad') bad.push(copy.address);
        else failed++;
        if (!next() && running === 0) finish(undefined);
      };
      const next = (): boolean => {
        const address = queue.shift();
        if (address === undefined) return false;
        running++;
        hedge.cancel();
        hedge = this.#c.timers.after(this.#hedgeDelayMs, () => {
          if (next()) this.hedges++;
        });
        this.#ask(id, key, address, deadline, abort.signal).then(settled, (error: unknown) =>
          settled({ type: 'failed', address, cause: error }),
        );
        return true;
      };
      let hedge = this.#c.timers.after(this.#hedgeDelayMs, () => undefined);
      if (!next()) finish(undefined);
    });
  }

  async #ask(
    id: BlockId,
    key: Uint8Array,
    address: string,
    deadline: Deadline,
    signal: AbortSignal,
  ): Promise<Copy> {
    const timeoutMs = Math.max(1, Math.min(BLOCK_CALL_TIMEOUT_MS, deadline.remainingMs));
    const body = { $case: 'get' as const, value: { blockId: key } };
    const reply = await this.#c.connections.call(address, body, { timeoutMs, signal });
    if (reply.$case === 'get') {
      const { data } = reply.value;
      if ((await blockIdOfLarge(data)).id === id) return { type: 'good', address, data };
      this.corrupt++;
      this.#c.logger.error({ block: id, address }, 'a block arrived with another content than its name says');
      return { type: 'bad', address, cause: new Error(`${address} sent a corrupt copy`) };
    }
    const code = reply.$case === 'error' ? reply.value.code : undefined;
    const detail = reply.$case === 'error' ? reply.value.message : `answered with ${reply.$case}`;
    const cause = new Error(`${address}: ${detail}`);
    if (code !== BlockErrorCode.NOT_FOUND && code !== BlockErrorCode.CORRUPT) {
      return { type: 'failed', address, cause };
    }
    this.missing++;
    this.#c.logger.warn({ block: id, address, detail }, 'a node has no good copy of a block');
    return { type: 'bad', address, cause };
  }
}
