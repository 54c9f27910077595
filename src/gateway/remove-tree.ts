import { EMPTY_BYTES } from '../base/bytes.ts';
import { asFsError, type ErrnoName } from '../base/errno.ts';
import type { Ino } from '../base/ids.ts';
import { GATEWAY_DELETES_IN_FLIGHT_MAX } from '../base/limits.ts';
import { S_IFDIR } from '../vfs/mode.ts';
import type { Tree } from './context.ts';
import type { Entry } from './tree.ts';

const PAGE_ENTRIES = 256;

export interface Removed {
  readonly removed: number;
  /** False: there is more, for the next request. */
  readonly done: boolean;
}

/** rm -r, depth first, of at most `budget` entries, so that one request takes seconds and not hours. */
export async function removeTree(
  { meta, files }: Tree,
  root: Entry & { readonly ino: Ino },
  budget: number,
  signal: AbortSignal,
): Promise<Removed> {
  const stack = [root];
  let removed = 0;
  for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
    if (removed >= budget) return { removed, done: false };
    const { ino } = top;
    const page = Math.min(PAGE_ENTRIES, budget - removed);
    const { entries } = await meta.readdir(ino, EMPTY_BYTES, page, false, signal);
    const directory = entries.find((entry) => entry.type === S_IFDIR);
    const names = entries.filter((entry) => entry.type !== S_IFDIR).map((entry) => entry.name);
    await inParallel(names, (name) => done(files.unlink(ino, name, signal), 'ENOENT', 'EISDIR'));
    removed += names.length;
    if (directory !== undefined) {
      stack.push({ parent: ino, name: directory.name, ino: directory.ino as Ino });
    } else if (names.length === 0) {
      // Somebody may have put something in: then it is looked at again.
      if (await done(files.rmdir(top.parent, top.name, signal), 'ENOENT', 'ENOTEMPTY')) stack.pop();
      removed++;
    }
  }
  return { removed, done: true };
}

/** Whether it is gone. What others did at the same time is no failure. */
async function done(work: Promise<void>, gone: ErrnoName, stays: ErrnoName): Promise<boolean> {
  try {
    await work;
    return true;
  } catch (thrown) {
    const { code } = asFsError(thrown);
    if (code !== gone && code !== stays) throw thrown;
    return code === gone;
  }
}

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<unknown>): Promise<void> {
  for (let i = 0; i < items.length; i += GATEWAY_DELETES_IN_FLIGHT_MAX)
    await Promise.all(items.slice(i, i + GATEWAY_DELETES_IN_FLIGHT_MAX).map(work));
}
