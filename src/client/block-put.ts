import { FsError } from '../base/errno.ts';
import type { BlockId } from '../base/ids.ts';
import { BLOCK_CALL_TIMEOUT_MS, CLIENT_BACKOFF_MS_MAX, CLIENT_BACKOFF_MS_MIN } from '../base/limits.ts';
import type { Random } from '../base/random.ts';
import { BlockErrorCode } from '../gen/ringfs/v1/block.ts';
import type { Logger } from '../ports/logger.ts';
import { RpcError } from '../ports/rpc.ts';
import { Backoff } from './backoff.ts';
import type { BlockConnections } from './connections.ts';
import type { Deadline } from './deadline.ts';
import type { RingCache } from './ring-cache.ts';

export interface BlockPutComponents {
  readonly connections: BlockConnections;
  readonly ring: RingCache;
  readonly random: Random;
  readonly logger: Logger;
  /** See MetaService.seenIndex. */
  readonly seenIndex: () => number;
}

/** `moved`: the node is no owner any more. */
type Attempt =
  | { readonly type: 'stored' }
  | { readonly type: 'moved' | 'full' | 'failed'; readonly cause: unknown };

/** Stores blocks: one owner takes the block and passes it to the others. */
export class BlockPut {
  readonly #c: BlockPutComponents;
  retries = 0;

  constructor(components: BlockPutComponents) {
    this.#c = components;
  }

  /** Resolves when a write quorum has it durably. Throws FsError ENOSPC, EIO, EINTR, ETIMEDOUT. */
  async store(id: BlockId, key: Uint8Array, data: Uint8Array, deadline: Deadline): Promise<void> {
    const backoff = new Backoff(this.#c.random, {
      minMs: CLIENT_BACKOFF_MS_MIN,
      maxMs: CLIENT_BACKOFF_MS_MAX,
    });
    // Ends at the deadline.
    for (;;) {
      const attempt = await this.#storeAtOwners(id, key, data, deadline);
      if (attempt.type === 'stored') return;
      if (attempt.type === 'full')
        throw new FsError('ENOSPC', 'block nodes are full', { cause: attempt.cause });
      this.retries++;
      this.#c.ring.forget(id);
      this.#c.logger.debug({ block: id, err: attempt.cause, outcome: attempt.type }, 'block not stored yet');
      await deadline.sleep(backoff.nextMs(), attempt.cause);
    }
  }

  /** Gives a copy to one node that lacks it or has a bad one. Throws RpcError, FsError. */
  async repair(address: string, key: Uint8Array, data: Uint8Array): Promise<void> {
    // It belongs to a file now, whatever was decided of the block before.
    const value = { blockId: key, data, replicate: false, uploadedAt: this.#c.seenIndex() };
    const reply = await this.#c.connections.call(
      address,
      { $case: 'put', value },
      { timeoutMs: BLOCK_CALL_TIMEOUT_MS },
    );
    if (reply.$case === 'put') return;
    throw new FsError('EIO', reply.$case === 'error' ? reply.value.message : `answered with ${reply.$case}`);
  }

  /** Each owner in turn, the living ones first. Full: every owner that answered is. */
  async #storeAtOwners(id: BlockId, key: Uint8Array, data: Uint8Array, deadline: Deadline): Promise<Attempt> {
    let owners: readonly string[];
    try {
      owners = await this.#c.ring.owners(id, key, deadline);
    } catch (error) {
      if (error instanceof RpcError) return { type: 'failed', cause: error };
      throw error;
    }
    const up = owners.filter((o) => !this.#c.connections.down(o));
    const down = owners.filter((o) => this.#c.connections.down(o));
    let last: Attempt = { type: 'failed', cause: undefined };
    let full: Attempt | undefined;
    for (const owner of [...up, ...down]) {
      deadline.check(last.cause);
      const attempt = await this.#storeAt(owner, key, data, deadline);
      if (attempt.type === 'stored' || attempt.type === 'moved') return attempt;
      if (attempt.type === 'full') full = attempt;
      else last = attempt;
    }
    return last.cause === undefined && full !== undefined ? full : last;
  }

  async #storeAt(owner: string, key: Uint8Array, data: Uint8Array, deadline: Deadline): Promise<Attempt> {
    const timeoutMs = Math.max(1, Math.min(BLOCK_CALL_TIMEOUT_MS, deadline.remainingMs));
    const value = { blockId: key, data, replicate: true, uploadedAt: this.#c.seenIndex() };
    try {
      const reply = await this.#c.connections.call(
        owner,
        { $case: 'put', value },
        { timeoutMs, signal: deadline.signal },
      );
      if (reply.$case === 'put') return { type: 'stored' };
      if (reply.$case !== 'error') throw new FsError('EIO', `a put answered with ${reply.$case}`);
      return refusal(owner, reply.value.code, reply.value.message);
    } catch (error) {
      if (deadline.signal?.aborted) throw deadline.interrupted();
      if (error instanceof RpcError && error.code === 'protocol') {
        throw new FsError('EIO', 'the block could not be sent', { cause: error });
      }
      if (error instanceof RpcError) return { type: 'failed', cause: error };
      throw error;
    }
  }
}

function refusal(owner: string, code: BlockErrorCode, message: string): Attempt {
  const cause = new Error(`${owner}: ${message}`);
  switch (code) {
    case BlockErrorCode.NO_SPACE:
      return { type: 'full', cause };
    case BlockErrorCode.NOT_OWNER:
      return { type: 'moved', cause };
    case BlockErrorCode.INVALID:
    case BlockErrorCode.WRONG_CLUSTER:
      throw new FsError('EIO', 'a block node refuses the block', { cause });
    default:
      return { type: 'failed', cause };
  }
}
