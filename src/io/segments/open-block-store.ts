import path from 'node:path';
import type { BlockStore } from '../../ports/block-store.ts';
import { openDerivedKv } from '../rocksdb/derived-kv.ts';
import { localSegmentFiles } from './files.ts';
import { openSegmentStore, type SegmentStoreComponents, type SegmentStoreOptions } from './segment-store.ts';

export interface BlockStoreComponents extends Pick<SegmentStoreComponents, 'timers' | 'random' | 'logger'> {
  /** The index cannot be used any more: when the store is opened the next time, it is built again from the segments. */
  readonly onIndexDamaged: (reason: string) => void;
}

/** Opens the segments in `directory` and their index in `directory`/index. Throws BlockStoreError, StoreUnusableError. */
export async function openBlockStore(
  directory: string,
  components: BlockStoreComponents,
  options: SegmentStoreOptions,
): Promise<BlockStore> {
  const first = await attempt(directory, components, options);
  if (!(first instanceof Error)) return first;
  // The index turned out to be damaged only when it was read. It begins anew, and is built again.
  const second = await attempt(directory, components, options);
  if (second instanceof Error) throw second;
  return second;
}

/** An error: the index is damaged, and the next attempt begins with an empty one. */
async function attempt(
  directory: string,
  { onIndexDamaged, ...components }: BlockStoreComponents,
  options: SegmentStoreOptions,
): Promise<BlockStore | Error> {
  let damaged = false;
  let open = false;
  const kv = await openDerivedKv(path.join(directory, 'index'), {
    logger: components.logger,
    onDamaged: (reason) => {
      damaged = true;
      if (open) onIndexDamaged(reason);
    },
  });
  try {
    const files = localSegmentFiles(directory);
    const noteDamage = (reason: string): Promise<void> => kv.noteDamage(reason);
    const store = await openSegmentStore({ ...components, files, kv, onIndexDamaged: noteDamage }, options);
    open = true;
    await kv.opened();
    // Its entries are being counted already.
    if (damaged) onIndexDamaged('damage was met while the store was opened');
    return store;
  } catch (error) {
    await kv.close();
    if (!damaged) throw error;
    return error as Error;
  }
}
