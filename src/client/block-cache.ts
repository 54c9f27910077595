import type { BlockId } from '../base/ids.ts';
import { LruMap } from './lru.ts';

/** Verified contents by name, up to a number of bytes; the least recently used go first. */
export class BlockCache {
  readonly #blocks: LruMap<BlockId, Uint8Array>;
  hits = 0;

  constructor(bytesMax: number) {
    this.#blocks = new LruMap(bytesMax, (data) => data.length);
  }

  get bytes(): number {
    return this.#blocks.weight;
  }

  get(id: BlockId): Uint8Array | undefined {
    const data = this.#blocks.get(id);
    if (data !== undefined) this.hits++;
    return data;
  }

  has(id: BlockId): boolean {
    return this.#blocks.peek(id) !== undefined;
  }

  put(id: BlockId, data: Uint8Array): void {
    this.#blocks.set(id, data);
  }

  clear(): void {
    this.#blocks.clear();
  }
}
