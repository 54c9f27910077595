import { fromBinary, toBinary } from '../base/bytes.ts';
import { CACHED_DENTRIES_MAX, CACHED_DIRECTORIES_MAX } from '../base/limits.ts';
import { LruMap } from './lru.ts';

export interface CachedEntry {
  readonly ino: number;
  /** S_IFMT bits. */
  readonly type: number;
}

/** The effect of a commit on one directory. */
export type EntryChange =
  | { readonly type: 'add'; readonly name: Uint8Array; readonly entry: CachedEntry }
  | { readonly type: 'remove'; readonly name: Uint8Array };

/** What is known of one directory as of `dataVersion`. */
class Directory {
  dataVersion: number;
  /** Null: no such entry. */
  readonly entries = new Map<string, CachedEntry | null>();
  /** Every entry with a name up to this one is in `entries`. */
  knownUpTo: string | undefined;
  /** All are. */
  complete = false;
  /** Names that exist, sorted; made when needed. */
  sorted: string[] | undefined;

  constructor(dataVersion: number) {
    this.dataVersion = dataVersion;
  }
}

/** What the map weighs: one for the directory itself, and its entries. */
const weigh = (d: Directory): number =>
  Math.ceil(CACHED_DENTRIES_MAX / CACHED_DIRECTORIES_MAX) + d.entries.size;

/** Entries of directories, each set as of one data version. Names are kept as one character per byte. */
export class DirectoryCache {
  readonly #directories: LruMap<number, Directory>;

  constructor(capacity = CACHED_DENTRIES_MAX) {
    this.#directories = new LruMap(capacity, weigh);
  }

  get weight(): number {
    return this.#directories.weight;
  }

  /** The data version that the cached entries of `ino` are of. */
  version(ino: number): number | undefined {
    return this.#directories.peek(ino)?.dataVersion;
  }

  /** Undefined: not known. Null: known to be absent. */
  entry(ino: number, name: Uint8Array): CachedEntry | null | undefined {
    const directory = this.#directories.get(ino);
    if (directory === undefined) return undefined;
    const key = toBinary(name);
    const entry = directory.entries.get(key);
    if (entry !== undefined) return entry;
    const covered = directory.complete || (directory.knownUpTo !== undefined && key <= directory.knownUpTo);
    return covered ? null : undefined;
  }

  /** The entries after `after`, if all of them up to the limit are known. */
  list(
    ino: number,
    after: Uint8Array,
    limit: number,
  ): { entries: { name: Uint8Array; entry: CachedEntry }[]; end: boolean } | undefined {
    const directory = this.#directories.get(ino);
    if (!directory?.complete) return undefined;
    const names = sortedNames(directory);
    const start = firstAfter(names, toBinary(after));
    const page = names.slice(start, start + limit);
    const entries = page.map((name) => ({
      name: fromBinary(name),
      entry: directory.entries.get(name)!,
    }));
    return { entries, end: start + page.length >= names.length };
  }

  /** One entry was looked up when the directory was at `dataVersion`. */
  putEntry(ino: number, dataVersion: number, name: Uint8Array, entry: CachedEntry | null): void {
    const directory = this.#at(ino, dataVersion);
    if (directory === undefined) return;
    const key = toBinary(name);
    const known = directory.entries.get(key);
    if (known !== undefined && known?.ino === entry?.ino) return;
    directory.entries.set(key, entry);
    directory.sorted = undefined;
    this.#directories.set(ino, directory);
  }

  /** All entries after `after` up to the last of these, or to the end. */
  putPage(
    ino: number,
    dataVersion: number,
    after: Uint8Array,
    entries: readonly { readonly name: Uint8Array; readonly ino: number; readonly type: number }[],
    end: boolean,
  ): void {
    const directory = this.#at(ino, dataVersion);
    if (directory === undefined || directory.complete) return;
    for (const e of entries) directory.entries.set(toBinary(e.name), { ino: e.ino, type: e.type });
    const from = toBinary(after);
    if (from === '' || (directory.knownUpTo !== undefined && from <= directory.knownUpTo)) {
      const last = entries.at(-1);
      if (last !== undefined) {
        const upTo = toBinary(last.name);
        if (directory.knownUpTo === undefined || upTo > directory.knownUpTo) directory.knownUpTo = upTo;
      }
      if (end) directory.complete = true;
    }
    directory.sorted = undefined;
    this.#directories.set(ino, directory);
  }

  /** A directory that was just made here, with what was put into it at once. */
  putMade(ino: number, dataVersion: number, changes: readonly EntryChange[]): void {
    const directory = new Directory(dataVersion);
    directory.complete = true;
    for (const change of changes) applyChange(directory, change);
    this.#directories.set(ino, directory);
  }

  /** A commit brought the directory from one data version to another by these changes; undefined: not known which. */
  change(
    ino: number,
    fromVersion: number,
    toVersion: number,
    changes: readonly EntryChange[] | undefined,
  ): void {
    const before = this.#directories.peek(ino);
    if (before === undefined || before.dataVersion >= toVersion) return;
    if (before.dataVersion !== fromVersion || changes === undefined) {
      this.#directories.delete(ino);
      return;
    }
    before.dataVersion = toVersion;
    for (const change of changes) applyChange(before, change);
    this.#directories.set(ino, before);
  }

  drop(ino: number): void {
    this.#directories.delete(ino);
  }

  clear(): void {
    this.#directories.clear();
  }

  /** The record of `ino` at `dataVersion`, made new when the one there is older; undefined when it is newer. */
  #at(ino: number, dataVersion: number): Directory | undefined {
    const directory = this.#directories.get(ino);
    if (directory !== undefined && directory.dataVersion >= dataVersion) {
      return directory.dataVersion === dataVersion ? directory : undefined;
    }
    return new Directory(dataVersion);
  }
}

function applyChange(directory: Directory, change: EntryChange): void {
  const key = toBinary(change.name);
  directory.sorted = undefined;
  if (change.type === 'add') directory.entries.set(key, change.entry);
  // Where absence follows from completeness it needs no record of its own.
  else if (directory.complete) directory.entries.delete(key);
  else directory.entries.set(key, null);
}

function sortedNames(directory: Directory): string[] {
  if (directory.sorted === undefined) {
    const names: string[] = [];
    for (const [name, entry] of directory.entries) if (entry !== null) names.push(name);
    // Characters are bytes here, so the order of strings is the order of bytes.
    directory.sorted = names.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  }
  return directory.sorted;
}

/** Index of the first name greater than `after`. */
function firstAfter(names: readonly string[], after: string): number {
  let low = 0;
  let high = names.length;
  while (low < high) {
    const mid = (low + high) >>> 1;
    if (names[mid]! > after) high = mid;
    else low = mid + 1;
  }
  return low;
}
