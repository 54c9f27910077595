import { mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { FsError } from '../../base/errno.ts';
import type { KvRange, KvStore, KvWrite } from '../../ports/kv-store.ts';
import type { Logger } from '../../ports/logger.ts';
import { syncDirectory } from '../os/sync-directory.ts';
import { StoreUnusableError } from './rocks-error.ts';
import { openRocksKv, type RocksKvOptions } from './rocks-kv.ts';

export interface DerivedKvComponents {
  readonly logger: Logger;
  /** Called once, when what is on the disk turned out to be damaged: the next start begins with an empty store. */
  readonly onDamaged: (reason: string) => void;
}

/** Iterators do not compare checksums: what they read must not be taken for verified by those who ask for one row. */
const OPTIONS: RocksKvOptions = { scansFillCache: false };

type Pair = readonly [key: Uint8Array, value: Uint8Array];

/** One may have been a coincidence: a power failure, or somebody's kill. */
const OPENING_DEATHS_MAX = 2;
/** Open files, permissions and the like are not the store's fault. */
const PASSING =
  /too many open files|permission denied|operation not permitted|cannot allocate|the store (is|was) closed/i;

/**
 * A RocksDB whose content can be derived again from something else, so that damage costs time and nothing else. One that cannot be
 * opened is set aside as `<directory>.damaged`, in the place of an earlier one, and an empty one is opened. Damage that is met
 * later is remembered on the disk for the next start.
 */
export async function openDerivedKv(directory: string, components: DerivedKvComponents): Promise<DerivedKv> {
  const { logger } = components;
  await mkdir(path.dirname(directory), { recursive: true });
  const deaths = await countOpening(directory);
  if (await hasMark(directory)) {
    logger.error({ directory }, 'a store was found damaged before this start: it begins anew');
    await setAside(directory);
  } else if (deaths >= OPENING_DEATHS_MAX) {
    logger.error({ directory, deaths }, 'processes died while they opened a store: it begins anew');
    await setAside(directory);
  }
  try {
    const kv = await openRocksKv(directory, OPTIONS).catch(async (error: unknown) => {
      if (!isDamage(error)) throw error;
      logger.error({ directory, error }, 'a store is damaged: it is set aside and begins anew');
      await setAside(directory);
      return await openRocksKv(directory, OPTIONS);
    });
    return new DerivedKv(kv, directory, components);
  } catch (error) {
    // Somebody else uses it, say: nobody has died.
    await rm(openingOf(directory), { force: true });
    throw error;
  }
}

function isDamage(error: unknown): boolean {
  if (error instanceof StoreUnusableError) return error.damaged;
  return error instanceof FsError && error.code === 'EIO' && !PASSING.test(error.message);
}

const markOf = (directory: string): string => `${directory}.rebuild`;

/**
 * RocksDB may end the process when it reads damaged files, by an assertion. So starts are counted in a file that `opened` removes. The
 * number of starts before this one that did not come so far.
 */
async function countOpening(directory: string): Promise<number> {
  const file = openingOf(directory);
  const text = await readFile(file, 'utf8').catch(() => '0');
  const deaths = Number.parseInt(text, 10) || 0;
  await writeFile(file, `${deaths + 1}\n`);
  return deaths;
}

const openingOf = (directory: string): string => `${directory}.opening`;

async function hasMark(directory: string): Promise<boolean> {
  const mark = await open(markOf(directory), 'r').catch(() => undefined);
  await mark?.close();
  return mark !== undefined;
}

async function setAside(directory: string): Promise<void> {
  const damaged = `${directory}.damaged`;
  await rm(damaged, { recursive: true, force: true });
  await rename(directory, damaged).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
  await rm(markOf(directory), { force: true });
  await syncDirectory(path.dirname(directory));
}

/** Watches what the store says. */
export class DerivedKv implements KvStore {
  readonly #kv: KvStore;
  readonly #directory: string;
  readonly #components: DerivedKvComponents;
  #damaged = false;

  constructor(kv: KvStore, directory: string, components: DerivedKvComponents) {
    this.#kv = kv;
    this.#directory = directory;
    this.#components = components;
  }

  get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return this.#watch(this.#kv.get(key));
  }

  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    return this.#watch(this.#kv.getMany(keys));
  }

  write(batch: readonly KvWrite[], options: { readonly sync: boolean }): Promise<void> {
    return this.#watch(this.#kv.write(batch, options));
  }

  scan(range: KvRange): AsyncIterableIterator<Pair> {
    const scan = this.#kv.scan(range);
    const watched: AsyncIterableIterator<Pair> = {
      next: () => this.#watch(scan.next()),
      return: async () => (await scan.return?.()) ?? { done: true, value: undefined },
      [Symbol.asyncIterator]: () => watched,
    };
    return watched;
  }

  clear(range: { readonly gte: Uint8Array; readonly lt: Uint8Array }): Promise<void> {
    return this.#watch(this.#kv.clear(range));
  }

  async close(): Promise<void> {
    await this.opened();
    await this.#kv.close();
  }

  async #watch<T>(call: Promise<T>): Promise<T> {
    try {
      return await call;
    } catch (error) {
      await this.#note(error);
      throw error;
    }
  }

  async #note(error: unknown): Promise<void> {
    // Also a file that is not there, or cannot be read.
    if (error instanceof Error && isDamage(error)) await this.noteDamage(error.message);
  }

  /** Its user has read what it needed to start. */
  async opened(): Promise<void> {
    await rm(openingOf(this.#directory), { force: true });
  }

  /** What it holds is not what was written: the next start begins anew. */
  async noteDamage(reason: string): Promise<void> {
    if (this.#damaged) return;
    this.#damaged = true;
    const { logger, onDamaged } = this.#components;
    logger.error({ directory: this.#directory, reason }, 'a store is damaged: the next start begins anew');
    try {
      const mark = await open(markOf(this.#directory), 'w');
      await mark.sync();
      await mark.close();
      await syncDirectory(path.dirname(this.#directory));
    } catch (failure) {
      logger.error({ error: failure }, 'the damage could not be noted: the next start may meet it again');
    }
    onDamaged(reason);
  }
}
