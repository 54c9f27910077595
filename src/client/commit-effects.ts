import { CHUNK_SIZE_BYTES } from '../base/limits.ts';
import type { Attr, Chunk, CommitOk, Extent, Op, Rename } from '../gen/ringfs/v1/namespace.ts';
import type { CachedEntry, EntryChange } from './directory-cache.ts';

const S_IFMT = 0o170000;
const S_IFREG = 0o100000;
const S_IFDIR = 0o040000;
const RENAME_EXCHANGE = 2;

export function typeOf(mode: number): number {
  return mode & S_IFMT;
}

export function isRegular(mode: number): boolean {
  return typeOf(mode) === S_IFREG;
}

export function isDirectory(mode: number): boolean {
  return typeOf(mode) === S_IFDIR;
}

/** What a commit did to directories and layouts, as far as it is plain from its operations. */
export interface CommitEffects {
  /** By directory, in order; undefined: something that is not followed here. */
  readonly entries: ReadonlyMap<number, readonly EntryChange[] | undefined>;
  /** Whole layouts of files; undefined: not known. Files whose content was not touched are absent. */
  readonly layouts: ReadonlyMap<number, readonly Chunk[] | undefined>;
}

export interface EffectsContext {
  /** What the cache had for an entry before the commit. */
  entry(parent: number, name: Uint8Array): CachedEntry | null | undefined;
  /** The file was known to have no content before the commit. */
  wasEmpty(ino: number): boolean;
}

export function commitEffects(
  ops: readonly Op[],
  ok: CommitOk,
  index: number,
  context: EffectsContext,
): CommitEffects {
  const effects = new Effects(ok, index, context);
  ops.forEach((op, i) => {
    effects.apply(op, ok.results[i]?.ino ?? 0, ops.length === 1);
  });
  return { entries: effects.entries, layouts: effects.layouts };
}

class Effects {
  readonly entries = new Map<number, EntryChange[] | undefined>();
  readonly layouts = new Map<number, Chunk[] | undefined>();
  readonly #attrs = new Map<number, Attr>();
  readonly #index: number;
  readonly #context: EffectsContext;

  constructor(ok: CommitOk, index: number, context: EffectsContext) {
    this.#index = index;
    this.#context = context;
    for (const { attr } of ok.touched) if (attr !== undefined) this.#attrs.set(attr.ino, attr);
  }

  apply(op: Op, ino: number, alone: boolean): void {
    const body = op.body;
    if (body === undefined) return;
    switch (body.$case) {
      case 'makeNode':
        this.#add(body.value.parent, body.value.name, { ino, type: typeOf(body.value.mode) });
        if (isRegular(body.value.mode)) this.layouts.set(ino, []);
        return;
      case 'link':
        this.#link(body.value.parent, body.value.name, body.value.ino);
        return;
      case 'unlink':
      case 'removeDir':
        this.#change(body.value.parent, { type: 'remove', name: body.value.name });
        return;
      case 'rename':
        this.#rename(body.value, ino, alone);
        return;
      case 'setAttr':
        if (body.value.size !== undefined) this.#resize(body.value.ino, body.value.size);
        return;
      case 'writeExtents':
        this.#write(body.value.ino, body.value.extents);
        return;
      case 'appendExtents':
      case 'punchHole':
        this.layouts.set(body.value.ino, undefined);
        return;
      case 'setXattr':
      case 'removeXattr':
        return;
    }
  }

  #change(parent: number, change: EntryChange): void {
    if (!this.entries.has(parent)) this.entries.set(parent, []);
    this.entries.get(parent)?.push(change);
  }

  #add(parent: number, name: Uint8Array, entry: CachedEntry): void {
    if (entry.ino === 0) this.entries.set(parent, undefined);
    else this.#change(parent, { type: 'add', name, entry });
  }

  #link(parent: number, name: Uint8Array, ino: number): void {
    const attr = this.#attrs.get(ino);
    this.#add(parent, name, attr === undefined ? { ino: 0, type: 0 } : { ino, type: typeOf(attr.mode) });
  }

  /** Renaming one link of a file over another one of the same file does nothing (rename(2)); alone in its commit, it then
   * touches no directory, so that what is said here is not used. */
  #rename(op: Rename, ino: number, alone: boolean): void {
    const attr = this.#attrs.get(ino);
    const source = this.#context.entry(op.parent, op.name);
    const moved = source ?? (attr === undefined ? undefined : { ino, type: typeOf(attr.mode) });
    if (!alone || (op.flags & RENAME_EXCHANGE) !== 0 || moved === undefined || moved === null) {
      this.entries.set(op.parent, undefined);
      this.entries.set(op.newParent, undefined);
      return;
    }
    this.#change(op.parent, { type: 'remove', name: op.name });
    this.#change(op.newParent, { type: 'add', name: op.newName, entry: moved });
  }

  #resize(ino: number, size: number): void {
    const before = this.#layout(ino);
    // An empty file grows by a hole, which needs no extents; what is cut off from others is not followed.
    if (size === 0 || before?.length === 0) this.layouts.set(ino, []);
    else this.layouts.set(ino, undefined);
  }

  /** Only the first write to an empty file within one chunk: what a small new file is. */
  #write(ino: number, extents: readonly Extent[]): void {
    const sorted = [...extents].sort((a, b) => a.offset - b.offset);
    const last = sorted.at(-1);
    const plain =
      this.#layout(ino)?.length === 0 &&
      last !== undefined &&
      last.offset + last.length <= CHUNK_SIZE_BYTES &&
      sorted.every((e, i) => i === 0 || sorted[i - 1]!.offset + sorted[i - 1]!.length <= e.offset);
    this.layouts.set(ino, plain ? [{ ino, index: 0, version: this.#index, extents: sorted }] : undefined);
  }

  #layout(ino: number): Chunk[] | undefined {
    if (this.layouts.has(ino)) return this.layouts.get(ino);
    return this.#context.wasEmpty(ino) ? [] : undefined;
  }
}
