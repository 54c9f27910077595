import { createHash } from 'node:crypto';
import type { BlockId } from '../base/ids.ts';
import type { DeleteReply } from '../gen/ringfs/v1/block.ts';
import { type BlockStore, BlockStoreError, type DeleteOutcome } from '../ports/block-store.ts';
import type { Logger } from '../ports/logger.ts';

export function hashOf(data: Uint8Array): BlockId {
  return createHash('sha256').update(data).digest('hex') as BlockId;
}

/** This node's own copies, with the checks that the store leaves to its user. */
export class LocalBlocks {
  readonly #store: BlockStore;
  readonly #logger: Logger;
  #corruptFound = 0;
  #replaced = 0;
  #deleted = { blocks: 0, bytes: 0 };

  constructor(components: { readonly store: BlockStore; readonly logger: Logger }) {
    this.#store = components.store;
    this.#logger = components.logger;
  }

  get store(): BlockStore {
    return this.#store;
  }

  /** Copies found not to match their hash since the start. */
  get corruptFound(): number {
    return this.#corruptFound;
  }

  /** Bad copies replaced because a reader or another node put the block again. */
  get replaced(): number {
    return this.#replaced;
  }

  /**
   * Durable when resolved. A copy that is there already is read and hashed: a reader that found it bad puts the block
   * again, and the bad copy must go then.
   */
  async put(id: BlockId, data: Uint8Array, uploadedAt = 0): Promise<{ existed: boolean }> {
    const { existed } = await this.#store.put(id, data, uploadedAt);
    if (!existed) return { existed };
    const present = await this.verify(id);
    if (present === 'good') return { existed };
    if (present === 'corrupt') this.noteCorrupt(id);
    await this.replace(id, data, uploadedAt);
    this.#replaced++;
    return { existed: false };
  }

  /** Puts `data` in the place of what is there, as uploaded at the later of both times. */
  async replace(id: BlockId, data: Uint8Array, uploadedAt: number): Promise<void> {
    const [entry] = await this.#store.stat([id]);
    await this.#store.delete(id);
    await this.#store.put(id, data, Math.max(uploadedAt, entry?.uploadedAt ?? 0));
  }

  /** Deletes copies that garbage collection has marked at commit index `before`. */
  async collect(ids: readonly BlockId[], before: number): Promise<DeleteReply> {
    const entries = await this.#store.stat(ids);
    const outcomes = await Promise.all(ids.map((id) => this.#store.delete(id, before)));
    const bytes = entries.reduce((sum, e, i) => sum + (outcomes[i] === 'deleted' ? (e?.length ?? 0) : 0), 0);
    const count = (what: DeleteOutcome): number => outcomes.filter((outcome) => outcome === what).length;
    this.#deleted.blocks += count('deleted');
    this.#deleted.bytes += bytes;
    return { deleted: count('deleted'), deletedBytes: bytes, kept: count('kept') };
  }

  /** What `collect` has deleted since the start. */
  get deleted(): { readonly blocks: number; readonly bytes: number } {
    return this.#deleted;
  }

  /** Reads and hashes the copy. */
  async verify(id: BlockId): Promise<'good' | 'missing' | 'corrupt'> {
    const content = await this.getVerified(id);
    return content instanceof Uint8Array ? 'good' : content;
  }

  async getVerified(id: BlockId): Promise<Uint8Array | 'missing' | 'corrupt'> {
    try {
      const data = await this.#store.get(id);
      if (data === undefined) return 'missing';
      if (hashOf(data) === id) return data;
    } catch (error) {
      if (!(error instanceof BlockStoreError) || error.code !== 'corrupt') throw error;
    }
    return 'corrupt';
  }

  /** Counts a corrupt copy that is about to be replaced. */
  noteCorrupt(id: BlockId): void {
    this.#corruptFound++;
    this.#logger.error({ block: id }, 'stored block is corrupt');
  }
}
