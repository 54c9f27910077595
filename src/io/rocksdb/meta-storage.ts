import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { assert } from '../../base/assert.ts';
import { FsError } from '../../base/errno.ts';
import type { KvDamagedError, KvStore } from '../../ports/kv-store.ts';
import type { MetaStorage } from '../../ports/meta-storage.ts';
import { syncDirectory } from '../os/sync-directory.ts';
import { openRocksKv } from './rocks-kv.ts';

const MIB = 1024 * 1024;
const STATE_NAME = /^state-\d+$/;
/** Folders of states whose rows carry checksums, and of those of a version before, whose rows do not. */
const SEALED = 'rows-';
const UNSEALED = 'state-';
const FOLDER_NAME = new RegExp(`^(${SEALED}|${UNSEALED})\\d+$`);

export interface MetaStorageOptions {
  /** Called when a state has something else than was written to it, by whoever reads it. */
  readonly onDamaged?: (error: KvDamagedError) => void;
}

/**
 * `<directory>/log/` and `<directory>/rows-<n>/` are RocksDB databases; `<directory>/CURRENT` holds the name of the live
 * state's folder. A state of a version before, `state-<n>`, is used as it is.
 */
export async function openMetaStorage(
  directory: string,
  options: MetaStorageOptions = {},
): Promise<MetaStorage> {
  try {
    const made = await mkdir(directory, { recursive: true });
    if (made !== undefined) await syncDirectory(dirname(made));
  } catch (error) {
    throw mapFileError(error);
  }
  return new RocksMetaStorage(directory, options);
}

class RocksMetaStorage implements MetaStorage {
  readonly location: string;
  readonly #options: MetaStorageOptions;

  constructor(directory: string, options: MetaStorageOptions) {
    this.location = directory;
    this.#options = options;
  }

  openLog(): Promise<KvStore> {
    // Entries are written once, read at start and deleted: a cache and compression have nothing to give.
    return openRocksKv(join(this.location, 'log'), {
      cacheSizeBytes: 2 * MIB,
      writeBufferBytes: 16 * MIB,
      openFilesMax: 64,
      compression: false,
    });
  }

  async openState(name: string): Promise<KvStore> {
    const folder = await this.#folder(name);
    const sealed = folder.startsWith(SEALED);
    return await openRocksKv(join(this.location, folder), {
      cacheSizeBytes: 16 * MIB,
      writeBufferBytes: 16 * MIB,
      openFilesMax: 256,
      sealed,
      // What was not verified must not be given to those who ask for one row.
      scansFillCache: sealed,
      ...this.#options,
    });
  }

  async states(): Promise<readonly string[]> {
    const names = await this.#files(() => readdir(this.location));
    return names
      .filter((name) => FOLDER_NAME.test(name))
      .map(nameOf)
      .sort();
  }

  async current(): Promise<string | undefined> {
    let text: string;
    try {
      text = await readFile(join(this.location, 'CURRENT'), 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw mapFileError(error);
    }
    const folder = text.trim();
    if (!FOLDER_NAME.test(folder)) {
      throw new FsError('EIO', `${join(this.location, 'CURRENT')} does not name a state`);
    }
    return nameOf(folder);
  }

  async switchTo(name: string): Promise<void> {
    await this.#files(async () => {
      const folder = await this.#folder(name);
      const temporary = join(this.location, 'CURRENT.tmp');
      const file = await open(temporary, 'w', 0o644);
      try {
        await file.writeFile(`${folder}\n`);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, join(this.location, 'CURRENT'));
      await syncDirectory(this.location);
    });
  }

  async removeState(name: string): Promise<void> {
    assert((await this.current()) !== name, 'the live state is not removed');
    await this.#files(async () => {
      await rm(join(this.location, await this.#folder(name)), { recursive: true, force: true });
    });
  }

  async #folder(name: string): Promise<string> {
    assert(STATE_NAME.test(name), 'a state is called state-<n>');
    const names = await this.#files(() => readdir(this.location));
    return names.includes(name) ? name : name.replace(UNSEALED, SEALED);
  }

  async #files<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw mapFileError(error);
    }
  }
}

/** The same state has the same name, whatever its folder is called. */
const nameOf = (folder: string): string => folder.replace(SEALED, UNSEALED);

function mapFileError(thrown: unknown): FsError {
  if (thrown instanceof FsError) return thrown;
  const error = thrown as NodeJS.ErrnoException;
  const code = error.code === 'ENOSPC' || error.code === 'EDQUOT' ? 'ENOSPC' : 'EIO';
  return new FsError(code, error.message, { cause: thrown });
}
