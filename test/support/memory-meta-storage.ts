import { FsError } from '../../src/base/errno.ts';
import type { KvRange, KvStore, KvWrite } from '../../src/ports/kv-store.ts';
import type { MetaStorage } from '../../src/ports/meta-storage.ts';
import { MemoryKvStore } from './memory-kv-store.ts';

/** What a store's disk holds: as the operating system sees it, and as it would be after a power failure. */
class Disk {
  live = new MemoryKvStore();
  durable = new MemoryKvStore();
  unsynced: (readonly KvWrite[])[] = [];

  sync(): void {
    for (const batch of this.unsynced) this.durable.writeSync(batch);
    this.unsynced = [];
  }

  /** The disk had written the first `kept` batches on its own. */
  losePower(kept: (batches: number) => number): void {
    for (const batch of this.unsynced.slice(0, kept(this.unsynced.length))) this.durable.writeSync(batch);
    this.live = copyOf(this.durable);
    this.unsynced = [];
  }
}

function copyOf(store: MemoryKvStore): MemoryKvStore {
  const copy = new MemoryKvStore();
  copy.writeSync(store.dumpSync().map(([key, value]) => ({ type: 'put' as const, key, value })));
  return copy;
}

/** The stores of one replica in memory, with crashes, power failures and full disks. They outlive the replica. */
export class MemoryMetaStorage implements MetaStorage {
  readonly location = 'memory';
  readonly #log = new Disk();
  readonly #states = new Map<string, Disk>();
  #current: string | undefined;
  /** Handles of an earlier life do nothing any more. */
  #life = 0;
  /** Every write fails with this. */
  writeFailure: Error | undefined;

  async openLog(): Promise<KvStore> {
    return new Handle(this, this.#log);
  }

  async openState(name: string): Promise<KvStore> {
    let disk = this.#states.get(name);
    if (disk === undefined) {
      disk = new Disk();
      this.#states.set(name, disk);
    }
    return new Handle(this, disk);
  }

  async states(): Promise<readonly string[]> {
    return [...this.#states.keys()].sort();
  }

  async current(): Promise<string | undefined> {
    return this.#current;
  }

  async switchTo(name: string): Promise<void> {
    this.#current = name;
  }

  async removeState(name: string): Promise<void> {
    this.#states.delete(name);
  }

  get life(): number {
    return this.#life;
  }

  /** The process died. */
  kill(): void {
    this.#life++;
  }

  /** The machine died: what was not synced is gone, except the first `kept` batches of each store. */
  losePower(kept: (batches: number) => number = () => 0): void {
    this.kill();
    this.#log.losePower(kept);
    for (const state of this.#states.values()) state.losePower(kept);
  }

  /** The log's rows, to look at and to damage. */
  get logRows(): MemoryKvStore {
    return this.#log.live;
  }

  /** The log's rows that would survive a power failure now. */
  get durableLogRows(): MemoryKvStore {
    return this.#log.durable;
  }

  fillDisk(): void {
    this.writeFailure = new FsError('ENOSPC', 'no space left');
  }
}

class Handle implements KvStore {
  readonly #storage: MemoryMetaStorage;
  readonly #disk: Disk;
  readonly #life: number;
  #closed = false;

  constructor(storage: MemoryMetaStorage, disk: Disk) {
    this.#storage = storage;
    this.#disk = disk;
    this.#life = storage.life;
  }

  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    this.#check();
    return await this.#disk.live.get(key);
  }

  async getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    this.#check();
    return await this.#disk.live.getMany(keys);
  }

  async write(batch: readonly KvWrite[], options: { readonly sync: boolean }): Promise<void> {
    this.#check();
    if (this.#storage.writeFailure !== undefined) throw this.#storage.writeFailure;
    const copy = batch.map((w) => ({ ...w }));
    this.#disk.live.writeSync(copy);
    this.#disk.unsynced.push(copy);
    if (options.sync) this.#disk.sync();
  }

  scan(range: KvRange): AsyncIterableIterator<readonly [key: Uint8Array, value: Uint8Array]> {
    this.#check();
    return this.#disk.live.scan(range);
  }

  async clear(range: { readonly gte: Uint8Array; readonly lt: Uint8Array }): Promise<void> {
    this.#check();
    const dels = this.#disk.live.scanSync(range).map(([key]) => ({ type: 'del' as const, key }));
    await this.write(dels, { sync: false });
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  #check(): void {
    if (this.#closed || this.#life !== this.#storage.life) throw new FsError('EIO', 'the store is closed');
  }
}
