import { createHash } from 'node:crypto';
import type { BlockId } from '../base/ids.ts';
import { type BlockStore, BlockStoreError } from '../ports/block-store.ts';
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
  async put(id: BlockId, data: Uint8Array): Promise<{ existed: boolean }> {
    const { existed } = await this.#store.put(id, data);
    if (!existed) return { existed };
    const present = await this.verify(id);
    if (present === 'good') return { existed };
    if (present === 'corrupt') this.noteCorrupt(id);
    await this.#store.delete(id);
    await this.#store.put(id, data);
    this.#replaced++;
    return { existed: false };
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
