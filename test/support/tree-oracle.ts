import type { ErrnoName } from '../../src/base/errno.ts';

/** A file tree in memory that says what a POSIX file system would: the oracle of model tests. */

export interface OracleNode {
  readonly kind: 'file' | 'dir' | 'symlink';
  content: Uint8Array;
  mode: number;
  nlink: number;
  readonly target: string;
  readonly entries: Map<string, OracleNode>;
  parent: OracleNode | undefined;
  uid: number;
  gid: number;
  readonly xattrs: Map<string, Uint8Array>;
  /** The time that was set, unless something has changed it since. */
  mtimeSec: number | undefined;
}

export function newNode(kind: OracleNode['kind'], mode: number, target = ''): OracleNode {
  const nlink = kind === 'dir' ? 2 : 1;
  return {
    kind,
    content: new Uint8Array(0),
    mode,
    nlink,
    target,
    entries: new Map(),
    parent: undefined,
    uid: 0,
    gid: 0,
    xattrs: new Map(),
    mtimeSec: undefined,
  };
}

export class OracleError extends Error {
  readonly code: ErrnoName;
  constructor(code: ErrnoName) {
    super(code);
    this.code = code;
  }
}

const fail = (code: ErrnoName): never => {
  throw new OracleError(code);
};

export class TreeOracle {
  readonly root = newNode('dir', 0o755);

  /** Directory and last name of a path; the directories before it must exist. */
  resolve(path: string): { parent: OracleNode; name: string } {
    const names = path.split('/');
    let parent = this.root;
    for (const name of names.slice(0, -1)) {
      if (parent.kind !== 'dir') fail('ENOTDIR');
      parent = parent.entries.get(name) ?? fail('ENOENT');
    }
    if (parent.kind !== 'dir') fail('ENOTDIR');
    return { parent, name: names.at(-1)! };
  }

  find(path: string): OracleNode {
    const { parent, name } = this.resolve(path);
    return parent.entries.get(name) ?? fail('ENOENT');
  }

  make(path: string, node: OracleNode): OracleNode {
    const { parent, name } = this.resolve(path);
    if (parent.entries.has(name)) fail('EEXIST');
    this.#enter(parent, name, node);
    return node;
  }

  link(from: string, to: string): void {
    const node = this.find(from);
    const { parent, name } = this.resolve(to);
    if (parent.entries.has(name)) fail('EEXIST');
    if (node.kind === 'dir') fail('EPERM');
    this.#enter(parent, name, node);
    node.nlink++;
  }

  unlink(path: string): void {
    const { parent, name } = this.resolve(path);
    const node = parent.entries.get(name) ?? fail('ENOENT');
    if (node.kind === 'dir') fail('EISDIR');
    this.#leave(parent, name, node);
    node.nlink--;
  }

  rmdir(path: string): void {
    const { parent, name } = this.resolve(path);
    const node = parent.entries.get(name) ?? fail('ENOENT');
    if (node.kind !== 'dir') fail('ENOTDIR');
    if (node.entries.size > 0) fail('ENOTEMPTY');
    this.#leave(parent, name, node);
    node.nlink = 0;
  }

  /** `flags` as of renameat2(2): 0, RENAME_NOREPLACE or RENAME_EXCHANGE. */
  rename(from: string, to: string, flags: 0 | 1 | 2): void {
    const a = this.resolve(from);
    const b = this.resolve(to);
    const node = a.parent.entries.get(a.name) ?? fail('ENOENT');
    const target = b.parent.entries.get(b.name);
    if (target && flags === 1) fail('EEXIST');
    if (!target && flags === 2) fail('ENOENT');
    if (node.kind === 'dir' && a.parent !== b.parent && isWithin(b.parent, node)) fail('EINVAL');
    if (flags === 2 && target?.kind === 'dir' && a.parent !== b.parent && isWithin(a.parent, target)) {
      fail('EINVAL');
    }
    if (target === node) return;
    if (target && flags !== 2) checkReplaceable(node, target, a.parent);
    this.#leave(a.parent, a.name, node);
    if (target) this.#leave(b.parent, b.name, target);
    this.#enter(b.parent, b.name, node);
    if (!target) return;
    if (flags === 2) this.#enter(a.parent, a.name, target);
    else target.nlink = target.kind === 'dir' ? 0 : target.nlink - 1;
  }

  /** `flags` as of setxattr(2). */
  setxattr(path: string, name: string, value: Uint8Array, flags: number): void {
    const { xattrs } = this.find(path);
    if (flags === 1 && xattrs.has(name)) fail('EEXIST');
    if (flags === 2 && !xattrs.has(name)) fail('ENODATA');
    xattrs.set(name, value);
  }

  getxattr(path: string, name: string): Uint8Array {
    return this.find(path).xattrs.get(name) ?? fail('ENODATA');
  }

  removexattr(path: string, name: string): void {
    if (!this.find(path).xattrs.delete(name)) fail('ENODATA');
  }

  #enter(parent: OracleNode, name: string, node: OracleNode): void {
    parent.entries.set(name, node);
    parent.mtimeSec = undefined;
    if (node.kind !== 'dir') return;
    node.parent = parent;
    parent.nlink++;
  }

  #leave(parent: OracleNode, name: string, node: OracleNode): void {
    parent.entries.delete(name);
    parent.mtimeSec = undefined;
    if (node.kind === 'dir') parent.nlink--;
  }
}

/** What Linux says about a name that is to be replaced, in its order. */
function checkReplaceable(node: OracleNode, target: OracleNode, oldParent: OracleNode): void {
  if (node.kind === 'dir' && target.kind !== 'dir') fail('ENOTDIR');
  if (node.kind !== 'dir' && target.kind === 'dir') {
    fail(isWithin(oldParent, target) ? 'ENOTEMPTY' : 'EISDIR');
  }
  if (target.entries.size > 0) fail('ENOTEMPTY');
}

function isWithin(node: OracleNode, ancestor: OracleNode): boolean {
  for (let at: OracleNode | undefined = node; at; at = at.parent) if (at === ancestor) return true;
  return false;
}

export function writeAt(node: OracleNode, offset: number, data: Uint8Array): void {
  if (data.length === 0) return;
  resize(node, Math.max(node.content.length, offset + data.length));
  node.content.set(data, offset);
}

export function resize(node: OracleNode, size: number): void {
  const next = new Uint8Array(size);
  next.set(node.content.subarray(0, size));
  node.content = next;
}
