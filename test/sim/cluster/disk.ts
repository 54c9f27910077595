import { FsError } from '../../../src/base/errno.ts';
import type { Random } from '../../../src/base/random.ts';
import type { KvRange, KvStore, KvWrite } from '../../../src/ports/kv-store.ts';
import type { MetaStorage } from '../../../src/ports/meta-storage.ts';
import { MemoryMetaStorage } from '../../support/memory-meta-storage.ts';
import type { SimProcess } from '../harness/world.ts';

type Pair = readonly [key: Uint8Array, value: Uint8Array];

/** Told of what is in a store from now on. */
export interface DiskObserver {
  /** A snapshot has become the live state. */
  onInstalled(): void;
  onLogWrite(batch: readonly KvWrite[]): void;
  onStateOpened(name: string, rows: readonly Pair[]): void;
  onStateWrite(name: string, batch: readonly KvWrite[]): void;
}

/**
 * The disk of a server: it outlives the processes that use it. A process sees it through `storage`, where writes take
 * time; what is under way when the process dies is there as a whole or not at all.
 */
export class SimDisk {
  readonly memory = new MemoryMetaStorage();
  readonly #random: Random;
  readonly #syncMs: number;
  /** What is under way, in order. */
  readonly #pending = new Set<() => Promise<void>>();
  /** Writes wait until then. */
  stalledUntilMs = 0;
  /** Fails the next read of a state. */
  nextReadFails = false;
  /** Changes what is written to a state, for planted mistakes. */
  alter: ((batch: readonly KvWrite[]) => readonly KvWrite[]) | undefined;
  /** The same for how it is written. */
  tamper:
    | ((batch: readonly KvWrite[], options: { readonly sync: boolean }) => { readonly sync: boolean })
    | undefined;

  constructor(random: Random, syncMs: number) {
    this.#random = random;
    this.#syncMs = syncMs;
  }

  get full(): boolean {
    return this.memory.writeFailure !== undefined;
  }

  set full(full: boolean) {
    if (full) this.memory.fillDisk();
    else this.memory.writeFailure = undefined;
  }

  /** The process died; `power`: and the machine with it. */
  crash(power: boolean): void {
    for (const apply of [...this.#pending]) {
      if (this.#random.below(2) === 0) break;
      apply().catch(() => undefined);
    }
    this.#pending.clear();
    if (power) this.memory.losePower((batches) => this.#random.below(batches + 1));
    else this.memory.kill();
  }

  storage(process: SimProcess, observer: DiskObserver): MetaStorage {
    const { memory } = this;
    const open = async (kv: Promise<KvStore>, state: string | undefined): Promise<KvStore> => {
      await process.sleep(this.#syncMs);
      const store = await kv;
      if (state !== undefined) observer.onStateOpened(state, await all(store));
      return this.#store(process, store, state, observer);
    };
    return {
      location: `the disk of ${process.name}`,
      openLog: () => open(memory.openLog(), undefined),
      openState: (name) => open(memory.openState(name), name),
      states: () => memory.states(),
      current: () => memory.current(),
      switchTo: async (name) => {
        await process.sleep(this.#syncMs);
        const first = (await memory.current()) === undefined;
        await memory.switchTo(name);
        if (!first) observer.onInstalled();
      },
      removeState: async (name) => {
        await process.sleep(this.#syncMs);
        await memory.removeState(name);
      },
    };
  }

  #store(process: SimProcess, kv: KvStore, state: string | undefined, observer: DiskObserver): KvStore {
    const written = (batch: readonly KvWrite[]): void => {
      if (state === undefined) observer.onLogWrite(batch);
      else observer.onStateWrite(state, batch);
    };
    const read = <T>(work: () => Promise<T>): Promise<T> => {
      if (!process.alive) return never();
      if (state === undefined || !this.nextReadFails) return work();
      this.nextReadFails = false;
      return Promise.reject(new FsError('EIO', `${state}: Corruption: block checksum mismatch`));
    };
    return {
      get: (key) => read(() => kv.get(key)),
      getMany: (keys) => read(() => kv.getMany(keys)),
      scan: (range: KvRange) => kv.scan(range),
      write: (batch, options) => {
        const altered = state === undefined ? batch : (this.alter?.(batch) ?? batch);
        return this.#write(process, kv, altered, options, written);
      },
      clear: async (range) => {
        const batch: KvWrite[] = [];
        for await (const [key] of kv.scan(range)) batch.push({ type: 'del', key });
        if (batch.length > 0) await this.#write(process, kv, batch, { sync: false }, written);
      },
      close: () => kv.close(),
    };
  }

  #write(
    process: SimProcess,
    kv: KvStore,
    batch: readonly KvWrite[],
    asked: { readonly sync: boolean },
    written: (batch: readonly KvWrite[]) => void,
  ): Promise<void> {
    if (!process.alive) return never();
    const options = this.tamper?.(batch, asked) ?? asked;
    const { nowMs } = process.world;
    const stall = Math.max(0, this.stalledUntilMs - nowMs);
    const delayMs = options.sync ? stall + this.#syncMs * (0.3 + this.#random.next() * 1.4) : 0.05;
    return new Promise((resolve, reject) => {
      const apply = (): Promise<void> => {
        this.#pending.delete(apply);
        // The store underneath has it before it returns its promise.
        return kv.write(batch, options);
      };
      this.#pending.add(apply);
      process.after(delayMs, () => {
        apply().then(() => {
          written(batch);
          resolve();
        }, reject);
      });
    });
  }
}

/** For those who are dead. */
function never<T>(): Promise<T> {
  return new Promise(() => undefined);
}

async function all(store: KvStore): Promise<Pair[]> {
  const rows: Pair[] = [];
  for await (const pair of store.scan({ gte: new Uint8Array(0), lt: Uint8Array.of(0xff, 0xff) }))
    rows.push(pair);
  return rows;
}
