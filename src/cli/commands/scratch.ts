import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { openRocksKv } from '../../io/rocksdb/rocks-kv.ts';
import type { KvStore } from '../../ports/kv-store.ts';

/** A folder for stores that are of no use afterwards. */
export async function withScratch<T>(parent: string, work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(path.join(parent, 'ringfs-check-'));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

export async function withKv<T>(folder: string, name: string, work: (kv: KvStore) => Promise<T>): Promise<T> {
  const kv = await openRocksKv(path.join(folder, name));
  try {
    return await work(kv);
  } finally {
    await kv.close();
  }
}
