import type { BlockId } from '../../src/base/ids.ts';
import {
  type BlockEntry,
  type BlockStore,
  BlockStoreError,
  type BlockStoreStats,
  type DeleteOutcome,
  type StoreInspection,
} from '../../src/ports/block-store.ts';

/** A block store in memory, with faults that a test sets. */
export class MemoryBlockStore implements BlockStore {
  readonly blocks = new Map<BlockId, Uint8Array>();
  readonly uploadedAt = new Map<BlockId, number>();
  capacityBytes = 1024 * 1024 * 1024;
  /** Test hook: awaited by every put before it stores. */
  beforePut: ((id: BlockId) => Promise<void>) | undefined;
  #closed = false;

  async put(id: BlockId, data: Uint8Array, uploadedAt = 0): Promise<{ existed: boolean }> {
    this.#assertOpen();
    await this.beforePut?.(id);
    if (this.blocks.has(id)) {
      this.#raise(id, uploadedAt);
      return { existed: true };
    }
    if (this.#storedBytes() + data.length > this.capacityBytes) {
      throw new BlockStoreError('no-space', 'memory block store is full');
    }
    this.blocks.set(id, data.slice());
    this.uploadedAt.set(id, uploadedAt);
    return { existed: false };
  }

  async touch(ids: readonly BlockId[], uploadedAt: number): Promise<boolean[]> {
    this.#assertOpen();
    for (const id of ids) if (this.blocks.has(id)) this.#raise(id, uploadedAt);
    return ids.map((id) => this.blocks.has(id));
  }

  async get(id: BlockId): Promise<Uint8Array | undefined> {
    this.#assertOpen();
    return this.blocks.get(id);
  }

  async has(ids: readonly BlockId[]): Promise<boolean[]> {
    this.#assertOpen();
    return ids.map((id) => this.blocks.has(id));
  }

  async stat(ids: readonly BlockId[]): Promise<(BlockEntry | undefined)[]> {
    this.#assertOpen();
    return ids.map((id) => (this.blocks.has(id) ? this.#entry(id) : undefined));
  }

  async delete(id: BlockId, before = Number.POSITIVE_INFINITY): Promise<DeleteOutcome> {
    this.#assertOpen();
    if (!this.blocks.has(id)) return 'missing';
    if ((this.uploadedAt.get(id) ?? 0) >= before) return 'kept';
    this.blocks.delete(id);
    this.uploadedAt.delete(id);
    return 'deleted';
  }

  async reclaim(): Promise<void> {
    this.#assertOpen();
  }

  async list(after: BlockId | undefined, until: BlockId | undefined, limit: number): Promise<BlockEntry[]> {
    this.#assertOpen();
    return [...this.blocks.keys()]
      .filter((id) => (after === undefined || id > after) && (until === undefined || id <= until))
      .sort()
      .slice(0, limit)
      .map((id) => this.#entry(id));
  }

  async stats(): Promise<BlockStoreStats> {
    this.#assertOpen();
    const storedBytes = this.#storedBytes();
    return {
      blocks: this.blocks.size,
      storedBytes,
      fileBytes: storedBytes,
      deadBytes: 0,
      capacityBytes: this.capacityBytes,
      availableBytes: Math.max(0, this.capacityBytes - storedBytes),
      quarantinedSegments: 0,
      quarantinedBytes: 0,
    };
  }

  /** Blocks that this says are lost. */
  lost: BlockId[] = [];

  async inspect(): Promise<StoreInspection> {
    this.#assertOpen();
    return { lost: this.lost.splice(0), more: false, unread: false };
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  /** Flip a bit of a stored copy. */
  corrupt(id: BlockId): void {
    const data = this.blocks.get(id)!.slice();
    data[0]! ^= 1;
    this.blocks.set(id, data);
  }

  #entry(id: BlockId): BlockEntry {
    return { id, length: this.blocks.get(id)!.length, uploadedAt: this.uploadedAt.get(id) ?? 0 };
  }

  #raise(id: BlockId, uploadedAt: number): void {
    this.uploadedAt.set(id, Math.max(this.uploadedAt.get(id) ?? 0, uploadedAt));
  }

  #storedBytes(): number {
    let sum = 0;
    for (const data of this.blocks.values()) sum += data.length;
    return sum;
  }

  #assertOpen(): void {
    if (this.#closed) throw new BlockStoreError('closed', 'block store is closed');
  }
}
