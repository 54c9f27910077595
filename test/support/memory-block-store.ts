import type { BlockId } from '../../src/base/ids.ts';
import { type BlockStore, BlockStoreError, type BlockStoreStats } from '../../src/ports/block-store.ts';

/** A block store in memory, with faults that a test sets. */
export class MemoryBlockStore implements BlockStore {
  readonly blocks = new Map<BlockId, Uint8Array>();
  capacityBytes = 1024 * 1024 * 1024;
  /** Test hook: awaited by every put before it stores. */
  beforePut: ((id: BlockId) => Promise<void>) | undefined;
  #closed = false;

  async put(id: BlockId, data: Uint8Array): Promise<{ existed: boolean }> {
    this.#assertOpen();
    await this.beforePut?.(id);
    if (this.blocks.has(id)) return { existed: true };
    if (this.#storedBytes() + data.length > this.capacityBytes) {
      throw new BlockStoreError('no-space', 'memory block store is full');
    }
    this.blocks.set(id, data.slice());
    return { existed: false };
  }

  async get(id: BlockId): Promise<Uint8Array | undefined> {
    this.#assertOpen();
    return this.blocks.get(id);
  }

  async has(ids: readonly BlockId[]): Promise<boolean[]> {
    this.#assertOpen();
    return ids.map((id) => this.blocks.has(id));
  }

  async delete(id: BlockId): Promise<void> {
    this.#assertOpen();
    this.blocks.delete(id);
  }

  async list(
    after: BlockId | undefined,
    until: BlockId | undefined,
    limit: number,
  ): Promise<{ id: BlockId; length: number }[]> {
    this.#assertOpen();
    return [...this.blocks]
      .filter(([id]) => (after === undefined || id > after) && (until === undefined || id <= until))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .slice(0, limit)
      .map(([id, data]) => ({ id, length: data.length }));
  }

  async stats(): Promise<BlockStoreStats> {
    this.#assertOpen();
    const storedBytes = this.#storedBytes();
    return {
      blocks: this.blocks.size,
      storedBytes,
      capacityBytes: this.capacityBytes,
      availableBytes: Math.max(0, this.capacityBytes - storedBytes),
    };
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

  #storedBytes(): number {
    let sum = 0;
    for (const data of this.blocks.values()) sum += data.length;
    return sum;
  }

  #assertOpen(): void {
    if (this.#closed) throw new BlockStoreError('closed', 'block store is closed');
  }
}
