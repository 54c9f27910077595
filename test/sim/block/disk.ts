import { toHex } from '../../../src/base/bytes.ts';
import type { BlockId } from '../../../src/base/ids.ts';
import type {
  BlockEntry,
  BlockStore,
  BlockStoreStats,
  DeleteOutcome,
  StoreInspection,
} from '../../../src/ports/block-store.ts';
import { MemoryBlockStore } from '../../support/memory-block-store.ts';
import type { SimProcess } from '../harness/world.ts';

const CAPACITY_BYTES = 64 * 1024 * 1024;

/** What outlives the process. */
export class SimDisk {
  content = new MemoryBlockStore();
  stalledUntilMs = 0;
  #lostMs = Number.NEGATIVE_INFINITY;
  readonly #goneMs = new Map<BlockId, number>();
  /** Deletes of garbage that the process is carrying out. */
  #collecting = new Map<BlockId, number>();

  set full(full: boolean) {
    this.content.capacityBytes = full ? 0 : CAPACITY_BYTES;
  }

  lose(nowMs: number): void {
    this.#lostMs = nowMs;
    this.content = new MemoryBlockStore();
  }

  has(id: BlockId): boolean {
    return this.content.blocks.has(id);
  }

  restarted(): void {
    this.#collecting = new Map();
  }

  /** Notes what is deleted as garbage meanwhile, so that it is told from what is dropped. */
  async collect<T>(blockIds: readonly Uint8Array[], action: () => Promise<T>): Promise<T> {
    const collecting = this.#collecting;
    const ids = blockIds.map((bytes) => toHex(bytes) as BlockId);
    for (const id of ids) collecting.set(id, (collecting.get(id) ?? 0) + 1);
    const result = await action();
    for (const id of ids) {
      const left = collecting.get(id)! - 1;
      if (left === 0) collecting.delete(id);
      else collecting.set(id, left);
    }
    return result;
  }

  isCollecting(id: BlockId): boolean {
    return this.#collecting.has(id);
  }

  /** When it last lost a copy of this block, or the copy its content, otherwise than as surplus. */
  goneAtMs(id: BlockId): number {
    return Math.max(this.#lostMs, this.#goneMs.get(id) ?? Number.NEGATIVE_INFINITY);
  }

  gone(id: BlockId, nowMs: number): void {
    this.#goneMs.set(id, nowMs);
  }
}

/** The disk as one life of a process uses it: what it has not finished when it dies does not happen. */
export class DiskStore implements BlockStore {
  readonly #process: SimProcess;
  readonly #disk: SimDisk;
  readonly #content: MemoryBlockStore;
  readonly #waitMs: () => number;
  readonly #onDrop: (entry: BlockEntry) => void;

  constructor(
    process: SimProcess,
    disk: SimDisk,
    { waitMs, onDrop }: { readonly waitMs: () => number; readonly onDrop: (entry: BlockEntry) => void },
  ) {
    this.#process = process;
    this.#disk = disk;
    this.#content = disk.content;
    this.#waitMs = waitMs;
    this.#onDrop = onDrop;
  }

  async put(id: BlockId, data: Uint8Array, uploadedAt?: number): Promise<{ existed: boolean }> {
    await this.#wait();
    return this.#content.put(id, data, uploadedAt);
  }

  async touch(ids: readonly BlockId[], uploadedAt: number): Promise<boolean[]> {
    await this.#wait();
    return this.#content.touch(ids, uploadedAt);
  }

  async get(id: BlockId): Promise<Uint8Array | undefined> {
    await this.#wait();
    return this.#content.get(id);
  }

  has(ids: readonly BlockId[]): Promise<boolean[]> {
    return this.#content.has(ids);
  }

  stat(ids: readonly BlockId[]): Promise<(BlockEntry | undefined)[]> {
    return this.#content.stat(ids);
  }

  async delete(id: BlockId, before?: number): Promise<DeleteOutcome> {
    await this.#wait();
    const [entry] = await this.#content.stat([id]);
    const outcome = await this.#content.delete(id, before);
    if (outcome !== 'deleted') return outcome;
    const surplus = before !== undefined && !this.#disk.isCollecting(id);
    if (surplus) this.#onDrop(entry!);
    else this.#disk.gone(id, this.#process.world.nowMs);
    return outcome;
  }

  list(after: BlockId | undefined, until: BlockId | undefined, limit: number): Promise<BlockEntry[]> {
    return this.#content.list(after, until, limit);
  }

  reclaim(): Promise<void> {
    return this.#content.reclaim();
  }

  inspect(): Promise<StoreInspection> {
    return this.#content.inspect();
  }

  stats(): Promise<BlockStoreStats> {
    return this.#content.stats();
  }

  async close(): Promise<void> {}

  async #wait(): Promise<void> {
    const stallMs = Math.max(0, this.#disk.stalledUntilMs - this.#process.world.nowMs);
    await this.#process.sleep(stallMs + this.#waitMs());
  }
}
