import { CHUNK_SIZE_BYTES, OPS_PER_COMMIT_MAX } from '../base/limits.ts';
import type { Attr, Chunk, CommitOk, Extent, Fallocate, Op, Rename } from '../gen/ringfs/v1/namespace.ts';
import type { CachedEntry, EntryChange } from './directory-cache.ts';

const S_IFMT = 0o170000;
const S_IFREG = 0o100000;
const S_IFDIR = 0o040000;
const RENAME_EXCHANGE = 2;
/** This less k names the inode made by op k of the same commit (see Op in namespace.proto). */
const RELATIVE_INO_MAX = Number.MAX_SAFE_INTEGER;

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
    effects.apply(op, i, ops.length === 1);
  });
  return { entries: effects.entries, layouts: effects.layouts };
}

/**
 * The inodes that exist and that the operations may change, as far as `entry` knows the directories; undefined: cannot be said.
 */
export function changedBy(
  ops: readonly Op[],
  entry: (parent: number, name: Uint8Array) => CachedEntry | null | undefined,
): ReadonlySet<number> | undefined {
  const inos = new Set<number>();
  let known = true;
  const named = (parent: number, name: Uint8Array): void => {
    const found = entry(parent, name);
    if (found === undefined) known = false;
    else if (found !== null) inos.add(found.ino);
  };
  for (const { body } of ops) {
    if (body === undefined) continue;
    switch (body.$case) {
      case 'makeNode':
        if (body.value.unnamed === undefined) inos.add(body.value.parent);
        break;
      case 'link':
        inos.add(body.value.parent).add(body.value.ino);
        break;
      case 'unlink':
      case 'removeDir':
        inos.add(body.value.parent);
        named(body.value.parent, body.value.name);
        break;
      case 'rename':
        inos.add(body.value.parent).add(body.value.newParent);
        named(body.value.parent, body.value.name);
        named(body.value.newParent, body.value.newName);
        break;
      case 'setLock':
      case 'cancelLock':
        break; // what is cached does not tell of locks
      default:
        inos.add(body.value.ino);
    }
  }
  return known ? inos : undefined;
}

/** The directory entries that the operations name. */
export function namesIn(ops: readonly Op[]): { readonly parent: number; readonly name: Uint8Array }[] {
  return ops.flatMap(({ body }) => {
    switch (body?.$case) {
      case 'makeNode':
      case 'link':
      case 'unlink':
      case 'removeDir':
        return [body.value];
      case 'rename':
        return [body.value, { parent: body.value.newParent, name: body.value.newName }];
      default:
        return [];
    }
  });
}

class Effects {
  readonly entries = new Map<number, EntryChange[] | undefined>();
  readonly layouts = new Map<number, Chunk[] | undefined>();
  readonly #attrs = new Map<number, Attr>();
  readonly #ok: CommitOk;
  readonly #index: number;
  readonly #context: EffectsContext;

  constructor(ok: CommitOk, index: number, context: EffectsContext) {
    this.#ok = ok;
    this.#index = index;
    this.#context = context;
    for (const { attr } of ok.touched) if (attr !== undefined) this.#attrs.set(attr.ino, attr);
  }

  apply(op: Op, position: number, alone: boolean): void {
    const body = op.body;
    if (body === undefined) return;
    const ino = this.#ok.results[position]?.ino ?? 0;
    switch (body.$case) {
      case 'makeNode':
        if (body.value.unnamed === undefined) {
          const entry = { ino, type: typeOf(body.value.mode) };
          this.#add(this.#resolve(body.value.parent), body.value.name, entry);
        }
        if (isRegular(body.value.mode)) this.layouts.set(ino, []);
        return;
      case 'link':
        this.#link(this.#resolve(body.value.parent), body.value.name, ino);
        return;
      case 'unlink':
      case 'removeDir':
        this.#change(this.#resolve(body.value.parent), { type: 'remove', name: body.value.name });
        return;
      case 'rename':
        this.#rename(body.value, ino, alone);
        return;
      case 'setAttr':
        if (body.value.size !== undefined) this.#resize(ino, body.value.size);
        return;
      case 'writeExtents':
        if (body.value.keepSize) this.layouts.set(ino, undefined);
        else this.#write(ino, body.value.extents);
        return;
      case 'fallocate':
        this.#reshape(ino, body.value);
        return;
      case 'appendExtents':
      case 'copyRange':
        this.layouts.set(ino, undefined);
        return;
      case 'setXattr':
      case 'removeXattr':
      case 'setLock':
      case 'cancelLock':
        return;
    }
  }

  /** An inode that the commit itself made is named by the position of its MakeNode. */
  #resolve(ino: number): number {
    const position = RELATIVE_INO_MAX - ino;
    return position < OPS_PER_COMMIT_MAX ? (this.#ok.results[position]?.ino ?? 0) : ino;
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
    const parent = this.#resolve(op.parent);
    const newParent = this.#resolve(op.newParent);
    const attr = this.#attrs.get(ino);
    const source = this.#context.entry(parent, op.name);
    const moved = source ?? (attr === undefined ? undefined : { ino, type: typeOf(attr.mode) });
    if (!alone || (op.flags & RENAME_EXCHANGE) !== 0 || moved === undefined || moved === null) {
      this.entries.set(parent, undefined);
      this.entries.set(newParent, undefined);
      return;
    }
    this.#change(parent, { type: 'remove', name: op.name });
    this.#change(newParent, { type: 'add', name: op.newName, entry: moved });
  }

  #resize(ino: number, size: number): void {
    const before = this.#layout(ino);
    // An empty file grows by a hole, which needs no extents; what is cut off from others is not followed.
    if (size === 0 || before?.length === 0) this.layouts.set(ino, []);
    else this.layouts.set(ino, undefined);
  }

  /** What was empty stays so, with whatever size. Growing another file only adds a hole, but its extents are not at hand. */
  #reshape(ino: number, { punch, keepSize }: Fallocate): void {
    if (!punch && keepSize) return;
    this.layouts.set(ino, this.#layout(ino)?.length === 0 ? [] : undefined);
  }

  /** Only the first write to an empty file within one chunk: what a small new file is. */
  #write(ino: number, extents: readonly Extent[]): void {
    // Copied: inline bytes are the writer's, who may use them again.
    const sorted = extents.map((e) => ({ ...e, inline: e.inline.slice(), blockId: e.blockId.slice() }));
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
