import type { BlockId } from '../base/ids.ts';
import { BLOCK_PUT_BYTES_IN_FLIGHT_MAX, BLOCK_REQUESTS_WAITING_MAX } from '../base/limits.ts';
import { toPosition } from '../core/chord/identifiers.ts';
import type { Member } from '../core/chord/types.ts';
import { BlockErrorCode } from '../gen/ringfs/v1/block.ts';
import { BlockStoreError } from '../ports/block-store.ts';
import type { Logger } from '../ports/logger.ts';
import type { LocalBlocks } from './local-blocks.ts';
import type { Peers } from './peers.ts';
import type { RegistryView } from './registry-view.ts';
import type { RingDriver } from './ring-driver.ts';
import { Semaphore } from './semaphore.ts';
import { BlockRequestError, blockIdToWire } from './wire.ts';

export interface ReplicationComponents {
  readonly ring: RingDriver;
  readonly registry: RegistryView;
  readonly peers: Peers;
  readonly local: LocalBlocks;
  readonly logger: Logger;
  /** An owner lacks its copy of this block. */
  readonly onMissingCopy: (id: BlockId) => void;
}

export interface ReplicationOptions {
  readonly nodeId: string;
  readonly replicas: number;
  /** No puts are taken before the registry has been heard: without it a node that is cut off takes itself for the whole ring. */
  readonly awaitRegistry: boolean;
}

export interface PutResult {
  readonly durableCopies: number;
  readonly existed: boolean;
}

interface Upload {
  readonly data: Uint8Array;
  /** See PutBlock.uploaded_at. Every copy that counts has at least this one. */
  readonly uploadedAt: number;
}

type CopyOutcome = 'durable' | 'no-space' | 'failed';

/** Rounds of asking the ring again after owners turned out to be dead. */
const ROUNDS_MAX = 3;

/** Stores a block on its owners and answers when a majority of them have it durably. */
export class Replication {
  readonly #components: ReplicationComponents;
  readonly #options: ReplicationOptions;
  readonly #budget = new Semaphore(BLOCK_PUT_BYTES_IN_FLIGHT_MAX, BLOCK_REQUESTS_WAITING_MAX);

  constructor(components: ReplicationComponents, options: ReplicationOptions) {
    this.#components = components;
    this.#options = options;
  }

  /** The content has been checked against `id`. Throws BlockRequestError, BlockStoreError. */
  async put(id: BlockId, data: Uint8Array, uploadedAt: number): Promise<PutResult> {
    if (!(await this.#budget.acquire(data.length))) {
      throw new BlockRequestError(BlockErrorCode.UNAVAILABLE, 'too many puts are waiting');
    }
    const copies = new CopySet();
    try {
      return await this.#replicate(id, { data, uploadedAt }, copies);
    } finally {
      // The answer needs a quorum only; the memory is in use until the last copy has been sent.
      void copies.allSettled().then(() => {
        this.#budget.release(data.length);
        if (copies.count('failed') + copies.count('no-space') > 0) this.#components.onMissingCopy(id);
      });
    }
  }

  async #replicate(id: BlockId, upload: Upload, copies: CopySet): Promise<PutResult> {
    const { ring } = this.#components;
    const { nodeId, replicas } = this.#options;
    let existed = false;
    for (let round = 0; round < ROUNDS_MAX; round++) {
      const { owners } = await ring.settledOwners(toPosition(id), replicas);
      const own = owners.find((m) => m.nodeId === nodeId);
      if (own === undefined) {
        throw new BlockRequestError(BlockErrorCode.NOT_OWNER, `${nodeId} does not own this block`);
      }
      const quorum = this.#quorum(owners.length);
      if (round > 0 && owners.every((m) => copies.has(m.nodeId))) break;
      if (round === 0) existed = (await this.#components.local.store.has([id]))[0] === true;
      for (const owner of owners) {
        if (copies.has(owner.nodeId)) continue;
        copies.add(
          owner.nodeId,
          owner === own ? this.#storeHere(id, upload) : this.#send(owner, id, upload, existed),
        );
      }
      const nodes = owners.map((m) => m.nodeId);
      const durable = await copies.quorum(nodes, quorum);
      if (durable >= quorum) return { durableCopies: durable, existed };
    }
    if (copies.count('no-space') > 0) {
      throw new BlockRequestError(BlockErrorCode.NO_SPACE, 'the owners of this block are full');
    }
    const count = copies.count('durable');
    throw new BlockRequestError(BlockErrorCode.NO_QUORUM, `only ${count} owners could store this block`);
  }

  /**
   * A majority of the owners that there are, and of those that there are to be: the ring of a node that is cut off is smaller than what the
   * metadata cluster knows to be alive. Throws NO_QUORUM, before anything is stored, when there are not so many.
   */
  #quorum(owners: number): number {
    const { registry } = this.#components;
    if (this.#options.awaitRegistry && !registry.known) {
      throw new BlockRequestError(BlockErrorCode.UNAVAILABLE, 'this node has not heard of the registry yet');
    }
    const quorum = Math.floor(Math.max(owners, registry.ownersExpected) / 2) + 1;
    if (owners < quorum) {
      const what = `only ${owners} of at least ${quorum} owners are in the ring that this node sees`;
      throw new BlockRequestError(BlockErrorCode.NO_QUORUM, what);
    }
    return quorum;
  }

  async #storeHere(id: BlockId, { data, uploadedAt }: Upload): Promise<CopyOutcome> {
    try {
      await this.#components.local.put(id, data, uploadedAt);
      return 'durable';
    } catch (error) {
      if (error instanceof BlockStoreError && error.code === 'no-space') return 'no-space';
      this.#components.logger.error({ block: id, error }, 'storing a block failed');
      return 'failed';
    }
  }

  /** Never rejects. `mayExist`: ask before sending, the block is known here already. */
  async #send(owner: Member, id: BlockId, upload: Upload, mayExist: boolean): Promise<CopyOutcome> {
    const { data, uploadedAt } = upload;
    const { peers, logger } = this.#components;
    const blockId = blockIdToWire(id);
    try {
      if (mayExist) {
        const reply = await peers.call(owner.address, {
          $case: 'has',
          value: { blockIds: [blockId], uploadedAt },
        });
        if (reply.$case === 'has' && reply.value.present[0] === true) return 'durable';
      }
      const put = { $case: 'put', value: { blockId, data, replicate: false, uploadedAt } } as const;
      const reply = await peers.call(owner.address, put, { lane: 'data' });
      if (reply.$case === 'put') return 'durable';
      if (reply.$case === 'error' && reply.value.code === BlockErrorCode.NO_SPACE) return 'no-space';
      logger.warn({ block: id, to: owner.nodeId, reply: reply.$case }, 'an owner did not store a block');
    } catch (error) {
      logger.debug({ block: id, to: owner.nodeId, error }, 'an owner is not reachable');
    }
    return 'failed';
  }
}

/** The copies of one block that are being made, by node. */
class CopySet {
  readonly #copies = new Map<string, Promise<CopyOutcome>>();
  readonly #outcomes = new Map<string, CopyOutcome>();

  has(nodeId: string): boolean {
    return this.#copies.has(nodeId);
  }

  add(nodeId: string, copy: Promise<CopyOutcome>): void {
    const recorded = copy.then((outcome) => {
      this.#outcomes.set(nodeId, outcome);
      return outcome;
    });
    this.#copies.set(nodeId, recorded);
  }

  count(outcome: CopyOutcome): number {
    return [...this.#outcomes.values()].filter((o) => o === outcome).length;
  }

  /** Resolves with the number of durable copies as soon as they are enough, or can not become enough any more. */
  async quorum(nodes: readonly string[], needed: number): Promise<number> {
    return new Promise((resolve) => {
      let durable = 0;
      let open = nodes.length;
      for (const nodeId of nodes) {
        void this.#copies.get(nodeId)!.then((outcome) => {
          open--;
          if (outcome === 'durable') durable++;
          if (durable >= needed || durable + open < needed) resolve(durable);
        });
      }
    });
  }

  async allSettled(): Promise<void> {
    await Promise.all(this.#copies.values());
  }
}
