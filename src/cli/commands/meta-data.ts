import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { openMetaStorage } from '../../io/rocksdb/meta-storage.ts';
import { StoreUnusableError } from '../../io/rocksdb/rocks-error.ts';
import { MaintenanceError } from '../../meta/maintenance/errors.ts';
import { DataDirectoryError } from '../../meta/raft/errors.ts';
import type { MetaStorage } from '../../ports/meta-storage.ts';
import { CliError } from '../cli-error.ts';
import { holdsMetadata, type Identity, storedIdentity } from '../server/identity.ts';

/** The metadata of a server that does not run. */
export interface StoppedServer {
  readonly identity: Identity;
  readonly storage: MetaStorage;
}

export const metaFolder = (data: string): string => path.join(data, 'meta');

/** Throws CliError when `data` is not the data directory of one server with metadata. */
export async function openStoppedServer(data: string): Promise<StoppedServer> {
  const dir = path.resolve(data);
  if (!holdsMetadata(dir)) {
    const servers = existsSync(dir)
      ? readdirSync(dir).filter((name) => holdsMetadata(path.join(dir, name)))
      : [];
    throw new CliError(
      `${dir} is not the data directory of a metadata server`,
      servers.length === 0
        ? 'name what the server was given as --data'
        : `it holds those of several: name one of them, such as ${path.join(dir, servers[0]!)}`,
    );
  }
  const identity = storedIdentity(dir);
  if (identity === undefined) {
    throw new CliError(
      `${path.join(dir, 'ringfs.json')}, which says whose data this is, is missing`,
      'restore it from a backup',
    );
  }
  return { identity, storage: await openMetaStorage(metaFolder(dir)) };
}

/** Runs work on stores and files, and says what went wrong as a person needs it. */
export async function withAdvice<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof MaintenanceError) throw new CliError(error.message, error.advice);
    if (error instanceof DataDirectoryError) throw new CliError(error.message);
    if (error instanceof StoreUnusableError) {
      throw new CliError(
        error.message,
        'if its server runs, stop it first, or ask it: ringfs meta dump --servers HOST:PORT',
      );
    }
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === undefined || error instanceof CliError) throw error;
    throw new CliError(message);
  }
}
