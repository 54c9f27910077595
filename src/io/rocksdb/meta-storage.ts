import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { assert } from '../../base/assert.ts';
import { FsError } from '../../base/errno.ts';
import type { KvStore } from '../../ports/kv-store.ts';
import type { MetaStorage } from '../../ports/meta-storage.ts';
import { syncDirectory } from '../os/sync-directory.ts';
import { openRocksKv } from './rocks-kv.ts';

const MIB = 1024 * 1024;
const STATE_NAME = /^state-\d+$/;

/**
 * `<directory>/log/` and `<directory>/state-<n>/` are RocksDB databases; `<directory>/CURRENT` holds the name of the live
 * state.
 */
export async function openMetaStorage(directory: string): Promise<MetaStorage> {
  try {
    const made = await mkdir(directory, { recursive: true });
    if (made !== undefined) await syncDirectory(dirname(made));
  } catch (error) {
    throw mapFileError(error);
  }
  return new RocksMetaStorage(directory);
}

class RocksMetaStorage implements MetaStorage {
  readonly location: string;

  constructor(directory: string) {
    this.location = directory;
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

  openState(name: string): Promise<KvStore> {
    return openRocksKv(this.#path(name), {
      cacheSizeBytes: 16 * MIB,
      writeBufferBytes: 16 * MIB,
      openFilesMax: 256,
    });
  }

  async states(): Promise<readonly string[]> {
    const names = await this.#files(() => readdir(this.location));
    return names.filter((name) => STATE_NAME.test(name)).sort();
  }

  async current(): Promise<string | undefined> {
    let text: string;
    try {
      text = await readFile(join(this.location, 'CURRENT'), 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw mapFileError(error);
    }
    const name = text.trim();
    if (!STATE_NAME.test(name)) {
      throw new FsError('EIO', `${join(this.location, 'CURRENT')} does not name a state`);
    }
    return name;
  }

  async switchTo(name: string): Promise<void> {
    this.#path(name);
    await this.#files(async () => {
      const temporary = join(this.location, 'CURRENT.tmp');
      const file = await open(temporary, 'w', 0o644);
      try {
        await file.writeFile(`${name}\n`);
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
    await this.#files(() => rm(this.#path(name), { recursive: true, force: true }));
  }

  #path(name: string): string {
    assert(STATE_NAME.test(name), 'a state is called state-<n>');
    return join(this.location, name);
  }

  async #files<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw mapFileError(error);
    }
  }
}

function mapFileError(thrown: unknown): FsError {
  const error = thrown as NodeJS.ErrnoException;
  const code = error.code === 'ENOSPC' || error.code === 'EDQUOT' ? 'ENOSPC' : 'EIO';
  return new FsError(code, error.message, { cause: thrown });
}
