import { createHash } from 'node:crypto';
import type { BlockId } from '../base/ids.ts';
import { BAD_COPIES_MAX } from '../base/limits.ts';
import type { DeleteReply } from '../gen/ringfs/v1/block.ts';
import {
  type BlockEntry,
  type BlockStore,
  BlockStoreError,
  type DeleteOutcome,
} from '../ports/block-store.ts';
import type { Logger } from '../ports/logger.ts';
import { DropGuard } from './drop-guard.ts';

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
  /** In the store, and found bad. They do not count as copies; the bytes stay until a good copy takes their place. */
  readonly #bad = new Set<BlockId>();
  /** Surplus copies that are about to go. */
  readonly drops = new DropGuard();

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

  /** Copies known to be bad that nothing has replaced yet. */
  get badCopies(): number {
    return this.#bad.size;
  }

  badIds(): BlockId[] {
    return [...this.#bad];
  }

  isBad(id: BlockId): boolean {
    return this.#bad.has(id);
  }

  /** Which of these are there, as far as is known whole. With `uploadedAt`, those have durably at least that. */
  has(ids: readonly BlockId[], uploadedAt = 0): Promise<boolean[]> {
    return this.drops.use(ids, async () => {
      const present = await (uploadedAt === 0 ? this.#store.has(ids) : this.#store.touch(ids, uploadedAt));
      return present.map((there, i) => there && !this.#bad.has(ids[i]!));
    });
  }

  /** Which of these are there, whole as far as is known, durably with at least its `uploadedAt` each, and not about to be dropped. */
  async vouch(copies: readonly Omit<BlockEntry, 'length'>[]): Promise<boolean[]> {
    const keeps = ({ id }: { readonly id: BlockId }): boolean => !this.drops.has(id);
    const asked = copies.filter(keeps);
    const there = await this.drops.use(
      asked.map(({ id }) => id),
      async () => {
        const touched = await Promise.all(asked.map((copy) => this.#raised(copy)));
        return new Set(asked.filter((_, i) => touched[i]).map(({ id }) => id));
      },
    );
    return copies.map((copy) => there.has(copy.id) && !this.#bad.has(copy.id) && keeps(copy));
  }

  async #raised({ id, uploadedAt }: Omit<BlockEntry, 'length'>): Promise<boolean> {
    try {
      return (await this.#store.touch([id], uploadedAt))[0] === true;
    } catch (error) {
      if (error instanceof BlockStoreError && error.code === 'no-space') return false;
      throw error;
    }
  }

  /** Ends a drop that has begun, in this very turn: the delete is under way before anything else happens. False: it stays. */
  drop({ id, uploadedAt }: BlockEntry): Promise<boolean> {
    return this.drops.finish(id, async () => {
      const outcome = await this.#store.delete(id, uploadedAt + 1);
      if (outcome !== 'kept') this.#bad.delete(id);
      return outcome === 'deleted';
    });
  }

  /** Bad copies replaced because a reader or another node put the block again. */
  get replaced(): number {
    return this.#replaced;
  }

  /**
   * Durable when resolved. A copy that is there already is read and hashed: a reader that found it bad puts the block
   * again, and the bad copy must go then.
   */
  put(id: BlockId, data: Uint8Array, uploadedAt = 0): Promise<{ existed: boolean }> {
    return this.drops.use([id], () => this.#put(id, data, uploadedAt));
  }

  async #put(id: BlockId, data: Uint8Array, uploadedAt: number): Promise<{ existed: boolean }> {
    const { existed } = await this.#store.put(id, data, uploadedAt);
    if (!existed) return { existed };
    if ((await this.verify(id)) === 'good') return { existed };
    await this.#replace(id, data, uploadedAt);
    this.#replaced++;
    return { existed: false };
  }

  /** Puts `data` in the place of what is there, as uploaded at the later of both times. */
  replace(id: BlockId, data: Uint8Array, uploadedAt: number): Promise<void> {
    return this.drops.use([id], () => this.#replace(id, data, uploadedAt));
  }

  async #replace(id: BlockId, data: Uint8Array, uploadedAt: number): Promise<void> {
    const [entry] = await this.#store.stat([id]);
    await this.#store.delete(id);
    await this.#store.put(id, data, Math.max(uploadedAt, entry?.uploadedAt ?? 0));
    this.#bad.delete(id);
  }

  /** Deletes copies that garbage collection has marked at commit index `before`. */
  async collect(ids: readonly BlockId[], before: number): Promise<DeleteReply> {
    const entries = await this.#store.stat(ids);
    const outcomes = await Promise.all(ids.map((id) => this.#store.delete(id, before)));
    ids.forEach((id, i) => {
      if (outcomes[i] !== 'kept') this.#bad.delete(id);
    });
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
      if (data === undefined || hashOf(data) === id) {
        this.#bad.delete(id);
        return data ?? 'missing';
      }
    } catch (error) {
      if (!(error instanceof BlockStoreError) || error.code !== 'corrupt') throw error;
    }
    if (!this.#bad.has(id)) this.#noteCorrupt(id);
    return 'corrupt';
  }

  #noteCorrupt(id: BlockId): void {
    this.#corruptFound++;
    if (this.#bad.size < BAD_COPIES_MAX) this.#bad.add(id);
    this.#logger.error({ block: id }, 'stored block is corrupt');
  }
}
