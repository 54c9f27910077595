import { fromBinary, toBinary } from '../base/bytes.ts';
import { asFsError, FsError } from '../base/errno.ts';
import type { Ino } from '../base/ids.ts';
import { READDIR_ENTRIES_MAX, VFS_READDIR_COOKIES_MAX } from '../base/limits.ts';
import type { DirEntry } from '../gen/ringfs/v1/meta.ts';
import type { Attr } from '../gen/ringfs/v1/namespace.ts';
import type { DirectoryEntry } from '../ports/file-system.ts';
import type { MetaService } from '../ports/meta-service.ts';
import { S_IFDIR } from './mode.ts';

const DOT = new Uint8Array([0x2e]);
const DOT_DOT = new Uint8Array([0x2e, 0x2e]);
const FIRST_NAME_COOKIE = 3;

/** Entries read from the servers and not yet handed out: right until anything is known to have changed. */
interface Page {
  readonly after: string;
  readonly withAttrs: boolean;
  readonly changes: number;
  readonly entries: readonly DirEntry[];
  readonly end: boolean;
  at: number;
}

export interface DirectorySource {
  readonly meta: MetaService;
  /** Moves whenever this mount learns of a change. */
  readonly changes: () => number;
  /** The attributes of an entry as this mount shows them. */
  readonly view: (attr: Attr) => Attr;
}

/**
 * One open directory as readdir(3) reads it. Entries come in the order of their names and the position is a name, so that whatever
 * others add and remove, an entry that stays is returned exactly once. A cookie stands for the name of the entry that it came with.
 */
export class DirectoryStream {
  readonly #source: DirectorySource;
  readonly #ino: Ino;
  /** Names by cookie, from `#firstCookie` on. */
  #names: string[] = [];
  #firstCookie = FIRST_NAME_COOKIE;
  #page: Page | undefined;
  #parent: Ino | undefined;

  constructor(source: DirectorySource, ino: Ino) {
    this.#source = source;
    this.#ino = ino;
  }

  /** Entries after `cookie`, at most `limit`, at least one unless the directory is at its end. */
  async read(
    cookie: number,
    limit: number,
    withAttrs: boolean,
    signal?: AbortSignal,
  ): Promise<DirectoryEntry[]> {
    const out: DirectoryEntry[] = [];
    if (cookie === 0) {
      // rewinddir(3): what was read before is looked at afresh.
      this.#names = [];
      this.#firstCookie = FIRST_NAME_COOKIE;
      this.#page = undefined;
      this.#parent = undefined;
    }
    if (cookie < 1 && out.length < limit) {
      out.push({ name: DOT, ino: this.#ino, type: S_IFDIR, cookie: 1 });
    }
    if (cookie < 2 && out.length < limit) {
      out.push({ name: DOT_DOT, ino: await this.#parentIno(signal), type: S_IFDIR, cookie: 2 });
    }
    if (out.length >= limit) return out;
    let next = Math.max(cookie, FIRST_NAME_COOKIE - 1);
    const after = this.#nameAt(next);
    const page = await this.#pageAfter(after, limit - out.length, withAttrs, signal);
    while (page.at < page.entries.length && out.length < limit) {
      const entry = page.entries[page.at++]!;
      next = this.#cookieBehind(next, toBinary(entry.name));
      out.push(this.#entry(next, entry));
    }
    return out;
  }

  async #parentIno(signal: AbortSignal | undefined): Promise<Ino> {
    this.#parent ??= (await this.#source.meta.getattr(this.#ino, signal)).parent as Ino;
    return this.#parent;
  }

  #nameAt(cookie: number): string {
    if (cookie < FIRST_NAME_COOKIE) return '';
    const name = this.#names[cookie - this.#firstCookie];
    if (name === undefined) throw new FsError('EINVAL', 'no such position in the directory');
    return name;
  }

  /**
   * The cookie of the name that was found behind a cookie. Positions stay valid until rewinddir(3), also those that lie behind
   * one that is read again: what is found there as before keeps its cookie, and anything else gets one that never was.
   */
  #cookieBehind(cookie: number, name: string): number {
    if (this.#names[cookie + 1 - this.#firstCookie] === name) return cookie + 1;
    const unused = this.#firstCookie + this.#names.length;
    this.#names.push(name);
    if (this.#names.length > VFS_READDIR_COOKIES_MAX) {
      const dropped = VFS_READDIR_COOKIES_MAX / 2;
      this.#names = this.#names.slice(dropped);
      this.#firstCookie += dropped;
    }
    return unused;
  }

  #entry(cookie: number, { name, ino, type, attr }: DirEntry): DirectoryEntry {
    const entry = { name, ino: ino as Ino, type, cookie };
    return attr ? { ...entry, attr: this.#source.view(attr) } : entry;
  }

  async #pageAfter(
    after: string,
    wanted: number,
    withAttrs: boolean,
    signal: AbortSignal | undefined,
  ): Promise<Page> {
    const page = this.#page;
    const last = page?.at ? toBinary(page.entries[page.at - 1]!.name) : page?.after;
    const continues = page !== undefined && last === after;
    if (continues && page.changes === this.#source.changes() && page.withAttrs === withAttrs) {
      if (page.at < page.entries.length || page.end) return page;
    }
    // Ahead of the reader only while nothing changes, so that nothing is read for the bin.
    const calm = continues && page.at === page.entries.length;
    const limit = Math.min(READDIR_ENTRIES_MAX, calm ? READDIR_ENTRIES_MAX : Math.max(wanted, 64));
    const changes = this.#source.changes();
    this.#page = {
      after,
      withAttrs,
      changes,
      at: 0,
      ...(await this.#fetch(after, limit, withAttrs, signal)),
    };
    return this.#page;
  }

  async #fetch(
    after: string,
    limit: number,
    withAttrs: boolean,
    signal: AbortSignal | undefined,
  ): Promise<{ entries: readonly DirEntry[]; end: boolean }> {
    try {
      return await this.#source.meta.readdir(this.#ino, fromBinary(after), limit, withAttrs, signal);
    } catch (thrown) {
      // A removed directory is empty to those who still have it open.
      if (asFsError(thrown).code === 'ESTALE') return { entries: [], end: true };
      throw thrown;
    }
  }
}
