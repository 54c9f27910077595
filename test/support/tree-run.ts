import assert from 'node:assert/strict';
import { concatBytes } from '../../src/base/bytes.ts';
import { FsError } from '../../src/base/errno.ts';
import { type Ino, ROOT_INO } from '../../src/base/ids.ts';
import type { Vfs } from '../../src/vfs/vfs.ts';
import { newNode, type OracleNode, resize, TreeOracle, writeAt } from './tree-oracle.ts';
import type { FileStep, LookStep, NameStep, TreeStep } from './tree-steps.ts';
import { bytes, O_APPEND, O_EXCL, O_RDWR, O_TRUNC, ROOT, text } from './vfs-fixture.ts';

/** What the steps are taken on. */
export interface TreeWorld {
  readonly mounts: readonly Vfs[];
  /** The result of what is under way, letting as much time pass as that needs. */
  wait<T>(work: Promise<T>): Promise<T>;
  /** Enough time for everything in the background to begin. */
  tick(): Promise<void>;
  /** Another mount, which knows nothing yet. */
  fresh(): Promise<Vfs>;
  /** Ends all trouble. What a mount gave up before has taken effect or never will. */
  heal(): Promise<void>;
}

interface Handle {
  readonly mount: number;
  readonly ino: Ino;
  readonly handle: number;
  readonly node: OracleNode;
  readonly append: boolean;
}

const ATTEMPTS_MAX = 50;
const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;

const codeOf = (error: unknown): string => (error as { code?: string }).code ?? String(error);
/** Says nothing about whether the change was made. */
const isUncertain = (code: string | undefined): boolean => code === 'ETIMEDOUT' || code === 'EIO';

/** Takes steps on mounts of one cluster and on a tree in memory, and compares every result. */
export class TreeRun {
  readonly world: TreeWorld;
  readonly oracle = new TreeOracle();
  readonly #handles: Handle[] = [];
  /** Where a file's unflushed data is. */
  readonly #dirtyAt = new Map<OracleNode, number>();
  #byte = 0;
  /** Changes of which the mount could not say whether they were made. */
  uncertain = 0;

  constructor(world: TreeWorld) {
    this.world = world;
  }

  async step(step: TreeStep): Promise<void> {
    switch (step.op) {
      case 'create':
      case 'open':
        return await this.#openStep(step);
      case 'write':
      case 'read':
      case 'resize':
      case 'fsync':
      case 'close':
        return await this.#handleStep(step);
      case 'readPath':
      case 'truncatePath':
      case 'list':
      case 'stat':
      case 'getxattr':
      case 'tick':
        return await this.#lookStep(step);
      default:
        return await this.#nameStep(step);
    }
  }

  /** Closes everything; then all mounts and a fresh one must show the tree as it is in memory. */
  async finish(): Promise<void> {
    while (this.#handles.length > 0) await this.#close(this.#handles[0]!);
    for (const vfs of this.world.mounts) {
      await this.#insist(() => vfs.quiesce());
      assert.equal(vfs.stats().dirtyBytes, 0);
      assert.equal(vfs.stats().openInodes, 0);
    }
    for (const vfs of [...this.world.mounts, await this.world.fresh()]) {
      await this.#compare(vfs, ROOT_INO, this.oracle.root, true);
    }
  }

  // Paths ---------------------------------------------------------------------------------------------------------

  async #parentOf(vfs: Vfs, at: string): Promise<{ parent: Ino; name: Uint8Array }> {
    const names = at.split('/');
    let parent = ROOT_INO;
    for (const name of names.slice(0, -1)) {
      const attr = await vfs.lookup(parent, bytes(name));
      if ((attr.mode & S_IFMT) !== S_IFDIR) throw new FsError('ENOTDIR');
      parent = attr.ino as Ino;
    }
    return { parent, name: bytes(names.at(-1)!) };
  }

  async #inoOf(vfs: Vfs, at: string): Promise<Ino> {
    const { parent, name } = await this.#parentOf(vfs, at);
    return (await vfs.lookup(parent, name)).ino as Ino;
  }

  #peek(at: string): OracleNode | undefined {
    try {
      return this.oracle.find(at);
    } catch {
      return undefined;
    }
  }

  #data(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => (this.#byte = (this.#byte % 250) + 1));
  }

  // Doing the same on both sides ----------------------------------------------------------------------------------

  /**
   * Both do it, or both refuse with the same errno. Where the mount cannot say, the change has been made or it has not: all
   * mounts show the tree as it was or as it would be, and nothing between.
   */
  async #both<T, A>(
    expected: () => T,
    actual: () => Promise<A>,
  ): Promise<{ wanted: T; got: A | undefined } | undefined> {
    let got: A | undefined;
    let refused: string | undefined;
    try {
      got = await this.world.wait(actual());
    } catch (error) {
      refused = codeOf(error);
    }
    if (isUncertain(refused)) return await this.#decide(expected);
    let expectedErrno: string | undefined;
    let wanted: T | undefined;
    try {
      wanted = expected();
    } catch (error) {
      expectedErrno = codeOf(error);
    }
    assert.equal(refused, expectedErrno);
    return refused === undefined ? { wanted: wanted as T, got } : undefined;
  }

  async #decide<T>(expected: () => T): Promise<undefined> {
    this.uncertain++;
    await this.world.heal();
    if (await this.#agrees()) return;
    expected();
    for (const vfs of this.world.mounts) await this.#compare(vfs, ROOT_INO, this.oracle.root, false);
  }

  async #agrees(): Promise<boolean> {
    try {
      await this.#compare(this.world.mounts[0]!, ROOT_INO, this.oracle.root, false);
    } catch (error) {
      if (error instanceof assert.AssertionError) return false;
      throw error;
    }
    for (const vfs of this.world.mounts) await this.#compare(vfs, ROOT_INO, this.oracle.root, false);
    return true;
  }

  /** Again until the failures are over: what is asked for can be done twice. */
  async #insist<T>(work: () => Promise<T>): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.world.wait(work());
      } catch (error) {
        const known = error instanceof FsError && (error.code === 'ENOSPC' || isUncertain(error.code));
        if (!known || attempt > ATTEMPTS_MAX) throw error;
        if (isUncertain(error.code)) await this.world.heal();
      }
    }
  }

  /** Close-to-open: what another mount has not flushed is made durable before this mount looks. */
  async #sync(node: OracleNode | undefined, m: number): Promise<void> {
    if (!node) return;
    const at = this.#dirtyAt.get(node);
    if (at === undefined || at === m) return;
    const holder = this.#handles.find((h) => h.node === node && h.mount === at);
    if (holder) await this.#insist(() => this.world.mounts[at]!.fsync(holder.ino, holder.handle, false));
    this.#dirtyAt.delete(node);
  }

  // Open files ----------------------------------------------------------------------------------------------------

  async #openStep(s: Extract<FileStep, { op: 'create' | 'open' }>): Promise<void> {
    const m = s.mount;
    const vfs = this.world.mounts[m]!;
    const excl = s.op === 'create' && s.excl;
    const existing = this.#peek(s.path);
    // What the kernel does not let through: it opens directories and follows links itself.
    if (existing && existing.kind !== 'file' && !excl) return;
    await this.#sync(existing, m);
    const flags = O_RDWR | (excl ? O_EXCL : 0) | (s.truncate ? O_TRUNC : 0) | (s.append ? O_APPEND : 0);
    const openPath = async (): Promise<{ ino: Ino; handle: number }> => {
      const ino = await this.#inoOf(vfs, s.path);
      return { ino, handle: (await vfs.open(ROOT, ino, flags)).handle };
    };
    const create = async (): Promise<{ ino: Ino; handle: number }> => {
      const { parent, name } = await this.#parentOf(vfs, s.path);
      try {
        const { handle, attr } = await vfs.create(ROOT, parent, name, 0o644, flags);
        return { handle, ino: attr.ino as Ino };
      } catch (error) {
        if (excl || codeOf(error) !== 'EEXIST') throw error;
        return await openPath(); // as the kernel does
      }
    };
    // Whether a truncation was made cannot be told from the names: no trouble meanwhile.
    if (s.truncate && existing && !excl) await this.world.heal();
    const done = await this.#both(
      () => {
        if (s.op === 'create' && (!existing || excl)) return this.oracle.make(s.path, newNode('file', 0o644));
        return this.oracle.find(s.path);
      },
      s.op === 'create' ? create : openPath,
    );
    if (!done?.got) return;
    const node = done.wanted;
    if (s.truncate) {
      this.#changed(node, undefined);
      resize(node, 0);
    }
    this.#handles.push({ mount: m, ...done.got, node, append: s.append });
  }

  /** The content is another; `dirtyAt` is the mount that has not stored it yet. */
  #changed(node: OracleNode, dirtyAt: number | undefined): void {
    node.mtimeSec = undefined;
    if (dirtyAt === undefined) this.#dirtyAt.delete(node);
    else this.#dirtyAt.set(node, dirtyAt);
  }

  async #handleStep(s: Extract<FileStep, { pick: number }>): Promise<void> {
    if (this.#handles.length === 0) return;
    const h = this.#handles[s.pick % this.#handles.length]!;
    const vfs = this.world.mounts[h.mount]!;
    const { node, ino, handle } = h;
    await this.#sync(node, h.mount);
    switch (s.op) {
      case 'write': {
        const data = this.#data(s.length);
        const at = h.append ? node.content.length : s.offset;
        await this.#insist(() => vfs.write(ino, handle, at, data));
        writeAt(node, at, data);
        if (data.length > 0) this.#changed(node, h.mount);
        break;
      }
      case 'read': {
        const got = concatBytes(await this.#insist(() => vfs.read(ino, handle, s.offset, s.length)));
        assert.deepEqual(got, node.content.slice(s.offset, s.offset + s.length));
        break;
      }
      case 'resize':
        await this.#insist(() => vfs.setattr(ROOT, ino, { size: s.size }, handle));
        resize(node, s.size);
        this.#changed(node, undefined);
        break;
      case 'fsync':
        await this.#insist(() => vfs.fsync(ino, handle, false));
        this.#dirtyAt.delete(node);
        break;
      case 'close':
        return await this.#close(h);
    }
    const attr = await this.#insist(() => vfs.getattr(ino, handle));
    assert.equal(attr.size, node.content.length);
    assert.equal(attr.nlink, node.nlink);
  }

  async #close(h: Handle): Promise<void> {
    const vfs = this.world.mounts[h.mount]!;
    await this.#insist(() => vfs.flush(h.ino, h.handle));
    await this.world.wait(vfs.release(h.ino, h.handle));
    this.#handles.splice(this.#handles.indexOf(h), 1);
    // An unlinked file is not flushed by its last close here, and nobody else can look.
    if (h.node.nlink > 0) this.#dirtyAt.delete(h.node);
    else if (this.#handles.some((other) => other.node === h.node)) await this.#forgetUnlinked(h);
  }

  /** The other mount still has an unlinked file open whose unflushed data here was dropped by the last close. */
  async #forgetUnlinked(h: Handle): Promise<void> {
    if (this.#dirtyAt.get(h.node) !== h.mount) return;
    if (this.#handles.some((other) => other.node === h.node && other.mount === h.mount)) return;
    this.#dirtyAt.delete(h.node);
    const left = this.#handles.find((other) => other.node === h.node)!;
    const vfs = this.world.mounts[left.mount]!;
    h.node.content = concatBytes(await this.#insist(() => vfs.read(left.ino, left.handle, 0, 4096)));
  }

  // Looking -------------------------------------------------------------------------------------------------------

  async #lookStep(s: LookStep): Promise<void> {
    if (s.op === 'tick') return await this.world.tick();
    const vfs = this.world.mounts[s.mount]!;
    const node = this.#peek(s.path);
    const inode = (): Promise<Ino> => this.#inoOf(vfs, s.path);
    switch (s.op) {
      case 'readPath':
        if (node?.kind === 'dir') return;
        await this.#sync(node, s.mount);
        return await this.#same(
          () => {
            const found = this.oracle.find(s.path);
            return found.kind === 'symlink' ? bytes(found.target) : found.content;
          },
          async () =>
            node?.kind === 'symlink' ? vfs.readlink(await inode()) : this.#content(vfs, await inode()),
        );
      case 'truncatePath': {
        if (node !== undefined && node.kind !== 'file') return;
        await this.#sync(node, s.mount);
        if (node === undefined) return;
        await this.#insist(async () => vfs.setattr(ROOT, await inode(), { size: s.size }));
        resize(node, s.size);
        return this.#changed(node, undefined);
      }
      case 'list':
        if (node !== undefined && node.kind !== 'dir') return;
        return await this.#same(
          () => [...this.oracle.find(s.path).entries.keys()].sort(),
          async () => [...(await this.#list(vfs, await inode())).keys()].sort(),
        );
      case 'stat':
        await this.#sync(node, s.mount);
        return await this.#same(
          () => {
            const found = this.oracle.find(s.path);
            return { ...described(found), size: found.kind === 'file' ? found.content.length : undefined };
          },
          async () => {
            const attr = await vfs.getattr(await inode());
            return { ...seen(attr, node), size: node?.kind === 'file' ? attr.size : undefined };
          },
        );
      case 'getxattr':
        if (node?.kind === 'symlink') return;
        return await this.#same(
          () => this.oracle.getxattr(s.path, s.attribute),
          async () => vfs.getxattr(await inode(), bytes(s.attribute)),
        );
    }
  }

  async #same<T>(expected: () => T, actual: () => Promise<T>): Promise<void> {
    const done = await this.#both(expected, async () => ({ value: await actual() }));
    if (done?.got) assert.deepEqual(done.got.value, done.wanted);
  }

  async #content(vfs: Vfs, ino: Ino): Promise<Uint8Array> {
    const { handle } = await vfs.open(ROOT, ino, 0);
    try {
      return concatBytes(await vfs.read(ino, handle, 0, 4096));
    } finally {
      await vfs.release(ino, handle);
    }
  }

  async #list(vfs: Vfs, ino: Ino): Promise<Map<string, Ino>> {
    const handle = await vfs.opendir(ino);
    try {
      const entries = new Map<string, Ino>();
      for (let cookie = 0; ; ) {
        const page = await vfs.readdir(ino, handle, cookie, 3, true);
        if (page.length === 0) break;
        for (const entry of page) {
          cookie = entry.cookie;
          assert.ok(!entries.has(text(entry.name)), 'an entry is listed once');
          entries.set(text(entry.name), entry.ino);
        }
      }
      assert.equal(entries.get('.'), ino);
      entries.delete('.');
      assert.ok(entries.delete('..'));
      return entries;
    } finally {
      await vfs.releasedir(ino, handle);
    }
  }

  // Changing names and attributes -----------------------------------------------------------------------------------

  async #nameStep(s: NameStep): Promise<void> {
    const vfs = this.world.mounts[s.mount]!;
    const { oracle } = this;
    const node = this.#peek(s.path);
    const place = () => this.#parentOf(vfs, s.path);
    const inode = (): Promise<Ino> => this.#inoOf(vfs, s.path);
    switch (s.op) {
      case 'mkdir':
        await this.#both(
          () => oracle.make(s.path, newNode('dir', 0o755)),
          async () => {
            const { parent, name } = await place();
            await vfs.mkdir(ROOT, parent, name, 0o755);
          },
        );
        return;
      case 'symlink':
        await this.#both(
          () => oracle.make(s.path, newNode('symlink', 0o777, 'to/there')),
          async () => {
            const { parent, name } = await place();
            await vfs.symlink(ROOT, parent, name, bytes('to/there'));
          },
        );
        return;
      case 'rmdir':
        await this.#both(
          () => oracle.rmdir(s.path),
          async () => {
            const { parent, name } = await place();
            await vfs.rmdir(parent, name);
          },
        );
        return;
      case 'unlink':
        await this.#both(
          () => oracle.unlink(s.path),
          async () => {
            const { parent, name } = await place();
            await vfs.unlink(parent, name);
          },
        );
        return;
      case 'rename':
        await this.#both(
          () => oracle.rename(s.path, s.to, s.flags),
          async () => {
            const from = await place();
            const to = await this.#parentOf(vfs, s.to);
            await vfs.rename(from.parent, from.name, to.parent, to.name, s.flags);
          },
        );
        return;
      case 'link':
        await this.#both(
          () => oracle.link(s.path, s.to),
          async () => {
            const ino = await inode();
            const { parent, name } = await this.#parentOf(vfs, s.to);
            await vfs.link(ino, parent, name);
          },
        );
        return;
      case 'setxattr': {
        if (node?.kind === 'symlink') return;
        const value = this.#data(s.length);
        await this.#both(
          () => oracle.setxattr(s.path, s.attribute, value, s.flags),
          async () => vfs.setxattr(ROOT, await inode(), bytes(s.attribute), value, { flags: s.flags }),
        );
        return;
      }
      case 'removexattr':
        if (node?.kind === 'symlink') return;
        await this.#both(
          () => oracle.removexattr(s.path, s.attribute),
          async () => vfs.removexattr(ROOT, await inode(), bytes(s.attribute)),
        );
        return;
      default:
        return await this.#attributeStep(s, node);
    }
  }

  async #attributeStep(
    s: Extract<NameStep, { op: 'chmod' | 'chown' | 'utimes' }>,
    node: OracleNode | undefined,
  ): Promise<void> {
    const vfs = this.world.mounts[s.mount]!;
    const set = async (request: Parameters<Vfs['setattr']>[2]): Promise<void> => {
      await vfs.setattr(ROOT, await this.#inoOf(vfs, s.path), request);
    };
    switch (s.op) {
      case 'chmod':
        if (node?.kind === 'symlink') return;
        await this.#both(
          () => {
            this.oracle.find(s.path).mode = s.mode;
          },
          () => set({ mode: s.mode }),
        );
        return;
      case 'chown':
        await this.#both(
          () => {
            Object.assign(this.oracle.find(s.path), { uid: s.uid, gid: s.gid });
          },
          () => set({ uid: s.uid, gid: s.gid }),
        );
        return;
      case 'utimes':
        // Two mounts with unflushed data and a set time have no common order.
        await this.#sync(node, s.mount);
        await this.#both(
          () => {
            this.oracle.find(s.path).mtimeSec = s.sec;
          },
          () => set({ mtime: { sec: s.sec, nsec: 7 } }),
        );
        return;
    }
  }

  async #compare(vfs: Vfs, ino: Ino, node: OracleNode, withContent: boolean): Promise<void> {
    const wait = <T>(work: Promise<T>): Promise<T> => this.world.wait(work);
    const attr = await wait(vfs.getattr(ino));
    const dirty = this.#dirtyAt.has(node);
    if (!dirty) assert.deepEqual(seen(attr, node), described(node));
    const names = attr.hasXattrs ? (await wait(vfs.listxattr(ino))).map(text) : [];
    assert.deepEqual(names.sort(), [...node.xattrs.keys()].sort());
    for (const [name, value] of node.xattrs) {
      assert.deepEqual(new Uint8Array(await wait(vfs.getxattr(ino, bytes(name)))), value);
    }
    switch (node.kind) {
      case 'file':
        if (!withContent) return;
        assert.equal(attr.size, node.content.length);
        assert.deepEqual(await wait(this.#content(vfs, ino)), node.content);
        return;
      case 'symlink':
        assert.equal(text(await wait(vfs.readlink(ino))), node.target);
        return;
      case 'dir': {
        const entries = await wait(this.#list(vfs, ino));
        assert.deepEqual([...entries.keys()].sort(), [...node.entries.keys()].sort());
        for (const [name, child] of node.entries) {
          await this.#compare(vfs, entries.get(name)!, child, withContent);
        }
      }
    }
  }
}

interface Described {
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeSec: number | undefined;
}

function described({ mode, nlink, uid, gid, mtimeSec }: OracleNode): Described {
  return { mode, nlink, uid, gid, mtimeSec };
}

/** The same of what a mount says; a time only where it was set last. */
function seen(
  attr: Omit<Described, 'mtimeSec'> & { mtimeSec: number },
  node: OracleNode | undefined,
): Described {
  const { mode, nlink, uid, gid, mtimeSec } = attr;
  return {
    mode: mode & 0o777,
    nlink,
    uid,
    gid,
    mtimeSec: node?.mtimeSec === undefined ? undefined : mtimeSec,
  };
}
