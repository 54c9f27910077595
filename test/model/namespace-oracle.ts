/**
 * A file tree in plain objects, written without a look at the state machine: what the random model test believes.
 * Content is a map from offset to a tag of one byte. Errors are errno names.
 */

export type Kind = 'file' | 'dir' | 'symlink';

export interface OracleNode {
  readonly ino: number;
  readonly kind: Kind;
  /** Directories. */
  readonly entries: Map<string, OracleNode>;
  /** Files. */
  readonly content: Map<number, string>;
  size: number;
  readonly xattrs: Map<string, string>;
  mode: number;
}

export interface OraclePiece {
  readonly offset: number;
  readonly tags: readonly string[];
}

export class OracleError extends Error {
  readonly code: string;
  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

const refuse = (code: string): never => {
  throw new OracleError(code);
};

export class Oracle {
  root: OracleNode = node(1, 'dir', 0o755);
  /** Without a name, not reaped. */
  orphans = new Map<number, OracleNode>();
  nextIno = 2;

  /** Runs `body`; when it refuses, everything is as before and the errno is returned. */
  attempt(body: () => void): string {
    const saved = structuredClone({ root: this.root, orphans: this.orphans, nextIno: this.nextIno });
    try {
      body();
      return 'ok';
    } catch (error) {
      if (!(error instanceof OracleError)) throw error;
      Object.assign(this, saved);
      return error.code;
    }
  }

  /** Every node once: those in the tree, then orphans. */
  nodes(): OracleNode[] {
    const seen = new Map<number, OracleNode>();
    const visit = (n: OracleNode): void => {
      if (seen.has(n.ino)) return;
      seen.set(n.ino, n);
      for (const child of n.entries.values()) visit(child);
    };
    visit(this.root);
    return [...seen.values(), ...this.orphans.values()];
  }

  find(ino: number): OracleNode {
    return this.nodes().find((n) => n.ino === ino) ?? refuse('ESTALE');
  }

  /** What stat would say: names of a file; 2 and the subdirectories of a directory. */
  nlink(n: OracleNode): number {
    if (this.orphans.has(n.ino)) return 0;
    if (n.kind === 'dir') return 2 + [...n.entries.values()].filter((child) => child.kind === 'dir').length;
    return this.#names(n);
  }

  parentOf(n: OracleNode): number {
    if (n === this.root) return 1;
    return this.nodes().find((d) => d.kind === 'dir' && [...d.entries.values()].includes(n))?.ino ?? 0;
  }

  make(parent: number, name: string, kind: Kind, mode: number): number {
    const d = this.#dir(parent);
    if (d.entries.has(name)) refuse('EEXIST');
    if (this.orphans.has(parent)) refuse('ENOENT');
    const inherited = kind === 'dir' ? d.mode & 0o2000 : 0;
    const made = node(this.nextIno++, kind, kind === 'symlink' ? 0o777 : mode | inherited);
    d.entries.set(name, made);
    return made.ino;
  }

  link(ino: number, parent: number, name: string): void {
    const d = this.#dir(parent);
    const n = this.find(ino);
    if (d.entries.has(name)) refuse('EEXIST');
    if (this.orphans.has(parent)) refuse('ENOENT');
    if (n.kind === 'dir') refuse('EPERM');
    if (this.orphans.has(ino)) refuse('ENOENT');
    d.entries.set(name, n);
  }

  unlink(parent: number, name: string): void {
    const d = this.#dir(parent);
    const n = d.entries.get(name) ?? refuse('ENOENT');
    if (n.kind === 'dir') refuse('EISDIR');
    d.entries.delete(name);
    this.#lost(n);
  }

  rmdir(parent: number, name: string): void {
    const d = this.#dir(parent);
    const n = d.entries.get(name) ?? refuse('ENOENT');
    if (n.kind !== 'dir') refuse('ENOTDIR');
    if (n.entries.size > 0) refuse('ENOTEMPTY');
    d.entries.delete(name);
    this.#lost(n);
  }

  rename(parent: number, name: string, newParent: number, newName: string, flags: number): void {
    const from = this.#dir(parent);
    const to = this.#dir(newParent);
    if (flags > 2) refuse('EINVAL');
    const n = from.entries.get(name) ?? refuse('ENOENT');
    const target = to.entries.get(newName);
    if (target !== undefined && flags === 1) refuse('EEXIST');
    if (target === undefined && flags === 2) refuse('ENOENT');
    if (target === undefined && this.orphans.has(newParent)) refuse('ENOENT');
    if (contains(n, to)) refuse('EINVAL');
    if (target !== undefined && contains(target, from)) refuse(flags === 2 ? 'EINVAL' : 'ENOTEMPTY');
    if (target === n) return;
    if (flags === 2) {
      from.entries.set(name, target!);
      to.entries.set(newName, n);
      return;
    }
    if (target !== undefined) {
      if (n.kind === 'dir' && target.kind !== 'dir') refuse('ENOTDIR');
      if (n.kind !== 'dir' && target.kind === 'dir') refuse('EISDIR');
      if (target.entries.size > 0) refuse('ENOTEMPTY');
    }
    from.entries.delete(name);
    to.entries.set(newName, n);
    if (target !== undefined) this.#lost(target);
  }

  write(ino: number, pieces: readonly OraclePiece[]): void {
    const n = this.#file(ino);
    for (const { offset, tags } of pieces) {
      for (const [i, tag] of tags.entries()) n.content.set(offset + i, tag);
      n.size = Math.max(n.size, offset + tags.length);
    }
  }

  append(ino: number, pieces: readonly OraclePiece[]): number {
    const { size } = this.#file(ino);
    this.write(
      ino,
      pieces.map((piece) => ({ ...piece, offset: piece.offset + size })),
    );
    return size;
  }

  truncate(ino: number, size: number): void {
    const n = this.#file(ino);
    for (const at of [...n.content.keys()]) if (at >= size) n.content.delete(at);
    n.size = size;
  }

  punch(ino: number, offset: number, length: number): void {
    const n = this.#file(ino);
    for (const at of [...n.content.keys()]) if (at >= offset && at < offset + length) n.content.delete(at);
  }

  chmod(ino: number, mode: number): void {
    this.find(ino).mode = mode;
  }

  setXattr(ino: number, name: string, value: string, flags: number): void {
    const { xattrs } = this.find(ino);
    if (flags === 1 && xattrs.has(name)) refuse('EEXIST');
    if (flags === 2 && !xattrs.has(name)) refuse('ENODATA');
    xattrs.set(name, value);
  }

  removeXattr(ino: number, name: string): void {
    if (!this.find(ino).xattrs.delete(name)) refuse('ENODATA');
  }

  #names(n: OracleNode): number {
    let count = 0;
    for (const d of this.nodes()) for (const child of d.entries.values()) if (child === n) count++;
    return count;
  }

  #lost(n: OracleNode): void {
    if (this.#names(n) === 0) this.orphans.set(n.ino, n);
  }

  #dir(ino: number): OracleNode {
    const n = this.find(ino);
    return n.kind === 'dir' ? n : refuse('ENOTDIR');
  }

  #file(ino: number): OracleNode {
    const n = this.find(ino);
    if (n.kind === 'dir') refuse('EISDIR');
    return n.kind === 'file' ? n : refuse('EINVAL');
  }
}

function node(ino: number, kind: Kind, mode: number): OracleNode {
  return { ino, kind, entries: new Map(), content: new Map(), size: 0, xattrs: new Map(), mode };
}

/** `d` is `n` or below it. */
function contains(n: OracleNode, d: OracleNode): boolean {
  if (n === d) return true;
  for (const child of n.entries.values()) if (contains(child, d)) return true;
  return false;
}
