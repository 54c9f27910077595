import { toBinary } from '../base/bytes.ts';
import { CACHED_ATTRS_MAX, CACHED_RECALLS_MAX } from '../base/limits.ts';
import type {
  DirEntry,
  GetAttrReply,
  GetChunksReply,
  LookupReply,
  ReadDirReply,
  RecalledInode,
} from '../gen/ringfs/v1/meta.ts';
import type { Attr, Chunk, CommitOk, Op, TouchedInode } from '../gen/ringfs/v1/namespace.ts';
import { ChunkCache } from './chunk-cache.ts';
import { changedBy, commitEffects, isDirectory, namesIn, typeOf } from './commit-effects.ts';
import { DirectoryCache, type EntryChange } from './directory-cache.ts';
import { LruMap } from './lru.ts';

/** The state of the cache when a request was sent; says whether its reply may still be kept when it arrives. */
export interface CacheToken {
  readonly epoch: number;
  readonly recalls: number;
}

/** No inode has this number. */
const ALL = 0;

export interface DirectoryPage {
  readonly entries: readonly DirEntry[];
  readonly end: boolean;
  readonly attr: Attr;
}

export interface Layout {
  readonly chunks: readonly Chunk[];
  readonly attr: Attr;
}

export interface MetaCacheOptions {
  readonly attrsMax?: number;
  readonly dentriesMax?: number;
  readonly extentsMax?: number;
}

/**
 * Attributes, directory entries and layouts that the leader leases to this client. Whatever is answered from here is what
 * the leader would answer, as long as the lease holds: everything is dropped when it ends, an inode is dropped when it is
 * recalled, and a reply is not kept when a recall overtook it.
 */
export class MetaCache {
  readonly #leaseHeld: () => boolean;
  readonly #attrs: LruMap<number, Attr>;
  readonly #directories: DirectoryCache;
  readonly #chunks: ChunkCache;
  /** Recalls are counted; this is the count at the last recall of an inode. Oldest first. */
  readonly #recalledAt = new Map<number, number>();
  /** Recalls up to this count may be missing from `#recalledAt`. */
  #recallsForgotten = 0;
  #recalls = 0;
  #epoch = 0;
  /** How many commits of ours that are under way may change an inode; `ALL` stands for every inode. */
  readonly #changing = new Map<number, number>();
  /** The same for entries, as `directory/name`. */
  readonly #changingNames = new Map<string, number>();

  constructor(leaseHeld: () => boolean, options: MetaCacheOptions = {}) {
    this.#leaseHeld = leaseHeld;
    this.#attrs = new LruMap(options.attrsMax ?? CACHED_ATTRS_MAX);
    this.#directories = new DirectoryCache(options.dentriesMax);
    this.#chunks = new ChunkCache(options.extentsMax);
  }

  get recalls(): number {
    return this.#recalls;
  }

  get size(): { readonly attrs: number; readonly dentries: number; readonly extents: number } {
    return {
      attrs: this.#attrs.size,
      dentries: this.#directories.weight,
      extents: this.#chunks.weight,
    };
  }

  token(): CacheToken {
    return { epoch: this.#epoch, recalls: this.#recalls };
  }

  /** Everything may have changed; replies to what was sent before are not kept either. */
  reset(): void {
    this.#epoch++;
    this.#attrs.clear();
    this.#directories.clear();
    this.#chunks.clear();
    this.#recalledAt.clear();
  }

  recall(inodes: readonly RecalledInode[]): void {
    for (const { ino } of inodes) {
      this.#recalls++;
      this.#attrs.delete(ino);
      this.#directories.drop(ino);
      this.#chunks.drop(ino);
      this.#recalledAt.delete(ino);
      this.#recalledAt.set(ino, this.#recalls);
    }
    for (const [ino, count] of this.#recalledAt) {
      if (this.#recalledAt.size <= CACHED_RECALLS_MAX) break;
      this.#recalledAt.delete(ino);
      this.#recallsForgotten = count;
    }
  }

  /**
   * A commit of ours goes out. Once it is applied others may see its effect before its answer arrives here, and nobody recalls
   * what we cache of it, so until then the inodes that it may change are not answered from here. Call what is returned when its
   * fate is known.
   */
  changing(ops: readonly Op[]): () => void {
    const names = namesIn(ops).map(({ parent, name }) => `${parent}/${toBinary(name)}`);
    const inos = changedBy(ops, (parent, name) => {
      // Another commit under way may put something else there first.
      if (this.#changingNames.has(`${parent}/${toBinary(name)}`)) return undefined;
      return this.#directories.entry(parent, name);
    }) ?? [ALL];
    for (const ino of inos) count(this.#changing, ino, 1);
    for (const name of names) count(this.#changingNames, name, 1);
    return () => {
      for (const ino of inos) count(this.#changing, ino, -1);
      for (const name of names) count(this.#changingNames, name, -1);
    };
  }

  /** The lease holds and no commit of ours that is under way may change `ino`. */
  #usable(ino: number): boolean {
    if (!this.#leaseHeld()) return false;
    return this.#changing.size === 0 || !(this.#changing.has(ino) || this.#changing.has(ALL));
  }

  // Reading -------------------------------------------------------------------------------------------------

  attr(ino: number): Attr | undefined {
    return this.#usable(ino) ? this.#attrs.get(ino) : undefined;
  }

  /** Undefined: not known. Null: known to be absent. */
  lookup(parent: number, name: Uint8Array): Attr | null | undefined {
    return this.#usable(parent) ? this.#lookup(parent, name) : undefined;
  }

  #lookup(parent: number, name: Uint8Array): Attr | null | undefined {
    // The attributes may be ahead of the entries while the answer to a commit of ours is on its way.
    const attr = this.#attrs.peek(parent);
    if (attr !== undefined && this.#directories.version(parent) !== attr.dataVersion) return undefined;
    const entry = this.#directories.entry(parent, name);
    return entry ? this.attr(entry.ino) : entry;
  }

  page(ino: number, after: Uint8Array, limit: number, withAttrs: boolean): DirectoryPage | undefined {
    return this.#usable(ino) ? this.#page(ino, after, limit, withAttrs) : undefined;
  }

  #page(ino: number, after: Uint8Array, limit: number, withAttrs: boolean): DirectoryPage | undefined {
    const attr = this.#attrs.get(ino);
    if (attr === undefined || this.#directories.version(ino) !== attr.dataVersion) return undefined;
    const list = this.#directories.list(ino, after, limit);
    if (list === undefined) return undefined;
    const entries: DirEntry[] = [];
    for (const { name, entry } of list.entries) {
      const entryAttr = withAttrs ? this.attr(entry.ino) : undefined;
      if (withAttrs && entryAttr === undefined) return undefined;
      entries.push({ name, ino: entry.ino, type: entry.type, attr: entryAttr });
    }
    return { entries, end: list.end, attr };
  }

  layout(ino: number, first: number, count: number): Layout | undefined {
    return this.#usable(ino) ? this.#layout(ino, first, count) : undefined;
  }

  #layout(ino: number, first: number, count: number): Layout | undefined {
    const attr = this.#attrs.get(ino);
    if (attr === undefined || this.#chunks.version(ino) !== attr.dataVersion) return undefined;
    const chunks = this.#chunks.get(ino, first, count);
    return chunks === undefined ? undefined : { chunks, attr };
  }

  // Keeping replies -------------------------------------------------------------------------------------------

  putAttr(token: CacheToken, reply: GetAttrReply): void {
    if (reply.leased && reply.attr !== undefined) this.#putAttr(token, reply.attr);
  }

  putLookup(token: CacheToken, parent: number, name: Uint8Array, reply: LookupReply): void {
    const { attr, parentAttr } = reply;
    if (!reply.leased || parentAttr === undefined || !this.#accepts(token, parent)) return;
    this.#newest(parentAttr);
    const entry = reply.found && attr !== undefined ? { ino: attr.ino, type: typeOf(attr.mode) } : null;
    this.#directories.putEntry(parent, parentAttr.dataVersion, name, entry);
    if (reply.found && attr !== undefined) this.#putAttr(token, attr);
  }

  putPage(token: CacheToken, ino: number, after: Uint8Array, reply: ReadDirReply): void {
    if (!reply.leased || reply.attr === undefined || !this.#accepts(token, ino)) return;
    this.#newest(reply.attr);
    this.#directories.putPage(ino, reply.attr.dataVersion, after, reply.entries, reply.end);
    for (const entry of reply.entries) if (entry.attr !== undefined) this.#putAttr(token, entry.attr);
  }

  putLayout(token: CacheToken, ino: number, first: number, count: number, reply: GetChunksReply): void {
    if (!reply.leased || reply.attr === undefined || !this.#accepts(token, ino)) return;
    this.#newest(reply.attr);
    this.#chunks.put(ino, reply.attr.dataVersion, first, count, reply.chunks);
  }

  #putAttr(token: CacheToken, attr: Attr): void {
    if (this.#accepts(token, attr.ino)) this.#newest(attr);
  }

  #newest(attr: Attr): void {
    const cached = this.#attrs.peek(attr.ino);
    if (cached === undefined || cached.version <= attr.version) this.#attrs.set(attr.ino, attr);
  }

  /** Nothing happened since the request was sent that would make its reply about `ino` old. */
  #accepts(token: CacheToken, ino: number): boolean {
    if (token.epoch !== this.#epoch || !this.#leaseHeld()) return false;
    if (token.recalls < this.#recallsForgotten) return false;
    return (this.#recalledAt.get(ino) ?? 0) <= token.recalls;
  }

  // Own commits -------------------------------------------------------------------------------------------

  /**
   * A commit of this client was applied. What is cached stays leased to us and moves on to the new versions. What was not
   * cached is kept only with a `token` of when the commit was sent, as with any reply.
   */
  committed(token: CacheToken | undefined, ops: readonly Op[], ok: CommitOk, index: number): void {
    if (!this.#leaseHeld()) return;
    const previous = new Map(ok.touched.map((t) => [t.attr?.ino ?? 0, t]));
    const effects = commitEffects(ops, ok, index, {
      entry: (parent, name) => this.#directories.entry(parent, name),
      wasEmpty: (ino) => this.#chunks.knownEmpty(ino, previous.get(ino)?.previousDataVersion ?? -1),
    });
    for (const touched of ok.touched) {
      const attr = touched.attr;
      if (attr === undefined) continue;
      const fresh = token !== undefined && this.#accepts(token, attr.ino);
      if (this.#attrs.peek(attr.ino) !== undefined || fresh) this.#newest(attr);
      if (isDirectory(attr.mode)) this.#moveDirectory(touched, attr, effects.entries, fresh);
      else this.#moveLayout(touched, attr, effects.layouts, fresh);
    }
  }

  #moveDirectory(
    touched: TouchedInode,
    attr: Attr,
    entries: ReadonlyMap<number, readonly EntryChange[] | undefined>,
    fresh: boolean,
  ): void {
    const made = touched.previousVersion === 0;
    const changes = made && !entries.has(attr.ino) ? [] : entries.get(attr.ino);
    if (touched.removed) this.#directories.drop(attr.ino);
    else if (made && fresh && changes !== undefined) {
      this.#directories.putMade(attr.ino, attr.dataVersion, changes);
    } else {
      this.#directories.change(attr.ino, touched.previousDataVersion, attr.dataVersion, changes);
    }
  }

  #moveLayout(
    touched: TouchedInode,
    attr: Attr,
    layouts: ReadonlyMap<number, readonly Chunk[] | undefined>,
    fresh: boolean,
  ): void {
    const layout = layouts.get(attr.ino);
    const known = this.#chunks.version(attr.ino) === touched.previousDataVersion;
    if (layout !== undefined && (fresh || known)) this.#chunks.putWhole(attr.ino, attr.dataVersion, layout);
    else this.#chunks.outdated(attr.ino, attr.dataVersion);
  }
}

function count<K>(counts: Map<K, number>, key: K, by: number): void {
  const sum = (counts.get(key) ?? 0) + by;
  if (sum === 0) counts.delete(key);
  else counts.set(key, sum);
}
