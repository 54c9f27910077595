import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { concatBytes } from '../../src/base/bytes.ts';
import { type Ino, ROOT_INO } from '../../src/base/ids.ts';
import { newNode, type OracleNode, resize, TreeOracle, writeAt } from '../support/tree-oracle.ts';
import {
  bytes,
  Cluster,
  type Mount,
  O_APPEND,
  O_EXCL,
  O_RDWR,
  O_TRUNC,
  ROOT,
  SMALL,
  settle,
  text,
} from '../support/vfs-fixture.ts';

/** Two mounts of one cluster against a tree in memory: structure, content, attributes and errors, close-to-open. */

const path = fc.constantFrom('a', 'b', 'd', 'd/a', 'd/b', 'd/e', 'd/e/a', 'e', 'e/a');
const mount = fc.nat(1);
const pick = fc.nat(20);
const size = fc.oneof(fc.nat(30), fc.nat(300));
const make = <T extends string, A extends object>(op: T, fields: { [K in keyof A]: fc.Arbitrary<A[K]> }) =>
  fc.record({ op: fc.constant(op), mount, ...fields }) as fc.Arbitrary<{ op: T; mount: number } & A>;

const step = fc.oneof(
  make('create', { path, excl: fc.boolean(), truncate: fc.boolean(), append: fc.boolean() }),
  make('create', { path, excl: fc.constant(false), truncate: fc.constant(false), append: fc.boolean() }),
  make('open', { path, truncate: fc.boolean(), append: fc.boolean() }),
  make('write', { pick, offset: size, length: size }),
  make('write', { pick, offset: size, length: size }),
  make('read', { pick, offset: size, length: size }),
  make('resize', { pick, size }),
  make('fsync', { pick }),
  make('close', { pick }),
  make('readPath', { path }),
  make('mkdir', { path }),
  make('mkdir', { path }),
  make('rmdir', { path }),
  make('unlink', { path }),
  make('rename', { path, to: path, noReplace: fc.boolean() }),
  make('link', { path, to: path }),
  make('symlink', { path }),
  make('chmod', { path, mode: fc.nat(0o777) }),
  make('tick', {}),
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

interface Handle {
  readonly mount: number;
  readonly ino: Ino;
  readonly handle: number;
  readonly node: OracleNode;
  readonly append: boolean;
}

class TreeRun {
  readonly cluster = new Cluster();
  readonly mounts: readonly Mount[] = [this.cluster.mount(SMALL), this.cluster.mount(SMALL)];
  readonly oracle = new TreeOracle();
  readonly handles: Handle[] = [];
  /** Where a file's unflushed data is. */
  readonly dirtyAt = new Map<OracleNode, number>();
  #byte = 0;

  #data(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => (this.#byte = (this.#byte % 250) + 1));
  }

  async #parentOf(m: number, at: string): Promise<{ parent: Ino; name: Uint8Array }> {
    const names = at.split('/');
    let parent = ROOT_INO;
    for (const name of names.slice(0, -1)) {
      const attr = await this.mounts[m]!.vfs.lookup(parent, bytes(name));
      if ((attr.mode & 0o170000) !== 0o040000) throw Object.assign(new Error(), { code: 'ENOTDIR' });
      parent = attr.ino as Ino;
    }
    return { parent, name: bytes(names.at(-1)!) };
  }

  async #inoOf(m: number, at: string): Promise<Ino> {
    const { parent, name } = await this.#parentOf(m, at);
    return (await this.mounts[m]!.vfs.lookup(parent, name)).ino as Ino;
  }

  /** Both do it, or both refuse with the same errno. */
  async #both<T>(expected: () => T, actual: () => Promise<void>): Promise<T | undefined> {
    let wanted: string | undefined;
    let value: T | undefined;
    try {
      value = expected();
    } catch (error) {
      wanted = (error as { code: string }).code;
    }
    let got: string | undefined;
    try {
      await actual();
    } catch (error) {
      got = (error as { code?: string }).code ?? String(error);
    }
    assert.equal(got, wanted);
    return value;
  }

  /** Close-to-open: what another mount has not flushed is made durable before this mount looks. */
  async #sync(node: OracleNode | undefined, m: number): Promise<void> {
    if (!node) return;
    const at = this.dirtyAt.get(node);
    if (at === undefined || at === m) return;
    const holder = this.handles.find((h) => h.node === node && h.mount === at);
    if (holder) await this.mounts[at]!.vfs.fsync(holder.ino, holder.handle, false);
    this.dirtyAt.delete(node);
  }

  #peek(at: string): OracleNode | undefined {
    try {
      return this.oracle.find(at);
    } catch {
      return undefined;
    }
  }

  async #opened(
    m: number,
    at: string,
    open: () => Promise<{ handle: number; ino: Ino }>,
    o: {
      truncate: boolean;
      append: boolean;
      create?: { excl: boolean };
    },
  ): Promise<void> {
    const existing = this.#peek(at);
    // What the kernel does not let through: it opens directories and follows links itself.
    if (existing && existing.kind !== 'file' && !o.create?.excl) return;
    await this.#sync(existing, m);
    let result: { handle: number; ino: Ino } | undefined;
    const node = await this.#both(
      () => {
        if (o.create && (!existing || o.create.excl)) return this.oracle.make(at, newNode('file', 0o644));
        return this.oracle.find(at);
      },
      async () => {
        result = await open();
      },
    );
    if (!node || !result) return;
    if (o.truncate) {
      if (node.content.length > 0) this.dirtyAt.delete(node);
      resize(node, 0);
    }
    this.handles.push({ mount: m, ...result, node, append: o.append });
  }

  #handle(n: number): Handle | undefined {
    return this.handles.length > 0 ? this.handles[n % this.handles.length] : undefined;
  }

  async step(s: Step): Promise<void> {
    const m = s.mount;
    const { vfs, timers } = this.mounts[m]!;
    switch (s.op) {
      case 'create': {
        const flags = O_RDWR | (s.excl ? O_EXCL : 0) | (s.truncate ? O_TRUNC : 0) | (s.append ? O_APPEND : 0);
        const open = async () => {
          const { parent, name } = await this.#parentOf(m, s.path);
          try {
            const { handle, attr } = await vfs.create(ROOT, parent, name, 0o644, flags);
            return { handle, ino: attr.ino as Ino };
          } catch (error) {
            if (s.excl || (error as { code?: string }).code !== 'EEXIST') throw error;
            const ino = await this.#inoOf(m, s.path); // as the kernel does
            return { ino, handle: (await vfs.open(ROOT, ino, flags)).handle };
          }
        };
        return await this.#opened(m, s.path, open, { ...s, create: s });
      }
      case 'open': {
        const flags = O_RDWR | (s.truncate ? O_TRUNC : 0) | (s.append ? O_APPEND : 0);
        const open = async () => {
          const ino = await this.#inoOf(m, s.path);
          return { ino, handle: (await vfs.open(ROOT, ino, flags)).handle };
        };
        return await this.#opened(m, s.path, open, s);
      }
      case 'write':
      case 'read':
      case 'resize':
      case 'fsync':
      case 'close':
        return await this.#handleStep(s);
      case 'readPath': {
        const node = this.#peek(s.path);
        if (node?.kind === 'dir') return;
        await this.#sync(node, m);
        let got: Uint8Array = new Uint8Array(0);
        const content = await this.#both(
          () => {
            const found = this.oracle.find(s.path);
            return found.kind === 'symlink' ? bytes(found.target) : found.content;
          },
          async () => {
            const ino = await this.#inoOf(m, s.path);
            if (node?.kind === 'symlink') got = await vfs.readlink(ino);
            else got = await this.#readIno(m, ino);
          },
        );
        if (content) assert.deepEqual(got, content);
        return;
      }
      case 'tick':
        timers.advance(600);
        return await settle();
      default:
        return await this.#nameStep(s);
    }
  }

  async #readIno(m: number, ino: Ino): Promise<Uint8Array> {
    const { vfs } = this.mounts[m]!;
    const { handle } = await vfs.open(ROOT, ino, 0);
    const got = concatBytes(await vfs.read(ino, handle, 0, 4096));
    await vfs.flush(ino, handle);
    await vfs.release(ino, handle);
    return got;
  }

  async #handleStep(s: Extract<Step, { pick: number }>): Promise<void> {
    const h = this.#handle(s.pick);
    if (!h) return;
    const { vfs } = this.mounts[h.mount]!;
    const { node, ino, handle } = h;
    await this.#sync(node, h.mount);
    switch (s.op) {
      case 'write': {
        const data = this.#data(s.length);
        const at = h.append ? node.content.length : s.offset;
        await vfs.write(ino, handle, at, data);
        writeAt(node, at, data);
        if (data.length > 0) this.dirtyAt.set(node, h.mount);
        break;
      }
      case 'read': {
        const got = concatBytes(await vfs.read(ino, handle, s.offset, s.length));
        assert.deepEqual(got, node.content.slice(s.offset, s.offset + s.length));
        break;
      }
      case 'resize':
        await vfs.setattr(ROOT, ino, { size: s.size }, handle);
        resize(node, s.size);
        this.dirtyAt.delete(node);
        break;
      case 'fsync':
        await vfs.fsync(ino, handle, false);
        this.dirtyAt.delete(node);
        break;
      case 'close':
        await this.#close(h);
        break;
    }
    if (s.op !== 'close') {
      const attr = await vfs.getattr(ino, handle);
      assert.equal(attr.size, node.content.length);
      assert.equal(attr.nlink, node.nlink);
    }
  }

  async #close(h: Handle): Promise<void> {
    const { vfs } = this.mounts[h.mount]!;
    await vfs.flush(h.ino, h.handle);
    await vfs.release(h.ino, h.handle);
    this.handles.splice(this.handles.indexOf(h), 1);
    // An unlinked file is not flushed by its last close here, and nobody else can look.
    if (h.node.nlink > 0) this.dirtyAt.delete(h.node);
    else if (this.handles.some((other) => other.node === h.node)) await this.#forgetUnlinked(h);
  }

  /** The other mount still has an unlinked file open whose unflushed data here was dropped by the last close. */
  async #forgetUnlinked(h: Handle): Promise<void> {
    if (this.dirtyAt.get(h.node) !== h.mount) return;
    if (this.handles.some((other) => other.node === h.node && other.mount === h.mount)) return;
    this.dirtyAt.delete(h.node);
    const left = this.handles.find((other) => other.node === h.node)!;
    const { vfs } = this.mounts[left.mount]!;
    h.node.content = concatBytes(await vfs.read(left.ino, left.handle, 0, 4096));
  }

  async #nameStep(
    s: Exclude<Step, { pick: number } | { op: 'create' | 'open' | 'readPath' | 'tick' }>,
  ): Promise<void> {
    const m = s.mount;
    const { vfs } = this.mounts[m]!;
    const at = (p: string) => this.#parentOf(m, p);
    switch (s.op) {
      case 'mkdir':
        await this.#both(
          () => this.oracle.make(s.path, newNode('dir', 0o755)),
          async () => {
            const { parent, name } = await at(s.path);
            await vfs.mkdir(ROOT, parent, name, 0o755);
          },
        );
        break;
      case 'symlink':
        await this.#both(
          () => this.oracle.make(s.path, newNode('symlink', 0o777, 'to/there')),
          async () => {
            const { parent, name } = await at(s.path);
            await vfs.symlink(ROOT, parent, name, bytes('to/there'));
          },
        );
        break;
      case 'rmdir':
        await this.#both(
          () => this.oracle.rmdir(s.path),
          async () => {
            const { parent, name } = await at(s.path);
            await vfs.rmdir(parent, name);
          },
        );
        break;
      case 'unlink':
        await this.#both(
          () => this.oracle.unlink(s.path),
          async () => {
            const { parent, name } = await at(s.path);
            await vfs.unlink(parent, name);
          },
        );
        break;
      case 'rename':
        await this.#both(
          () => this.oracle.rename(s.path, s.to, s.noReplace),
          async () => {
            const from = await at(s.path);
            const to = await at(s.to);
            await vfs.rename(from.parent, from.name, to.parent, to.name, s.noReplace ? 1 : 0);
          },
        );
        break;
      case 'link':
        await this.#both(
          () => this.oracle.link(s.path, s.to),
          async () => {
            const ino = await this.#inoOf(m, s.path);
            const { parent, name } = await at(s.to);
            await vfs.link(ino, parent, name);
          },
        );
        break;
      case 'chmod': {
        if (this.#peek(s.path)?.kind === 'symlink') return;
        await this.#both(
          () => {
            this.oracle.find(s.path).mode = s.mode;
          },
          async () => void (await vfs.setattr(ROOT, await this.#inoOf(m, s.path), { mode: s.mode })),
        );
        break;
      }
    }
  }

  async finish(): Promise<void> {
    while (this.handles.length > 0) await this.#close(this.handles[0]!);
    for (const { vfs } of this.mounts) {
      await vfs.quiesce();
      assert.equal(vfs.stats().dirtyBytes, 0);
      assert.equal(vfs.stats().openInodes, 0);
    }
    const fresh = this.cluster.mount(SMALL);
    for (const { vfs } of [...this.mounts, fresh]) await this.#compare(vfs, ROOT_INO, this.oracle.root);
  }

  async #compare(vfs: Mount['vfs'], ino: Ino, node: OracleNode): Promise<void> {
    const attr = await vfs.getattr(ino);
    assert.equal(attr.nlink, node.nlink);
    if (node.kind === 'file') {
      assert.equal(attr.mode & 0o777, node.mode);
      assert.equal(attr.size, node.content.length);
      const { handle } = await vfs.open(ROOT, ino, 0);
      assert.deepEqual(concatBytes(await vfs.read(ino, handle, 0, 4096)), node.content);
      await vfs.release(ino, handle);
      return;
    }
    if (node.kind === 'symlink') {
      assert.equal(text(await vfs.readlink(ino)), node.target);
      return;
    }
    const handle = await vfs.opendir(ino);
    const seen = new Map<string, Ino>();
    for (let cookie = 0; ; ) {
      const entries = await vfs.readdir(ino, handle, cookie, 3, true);
      if (entries.length === 0) break;
      for (const entry of entries) {
        cookie = entry.cookie;
        assert.ok(!seen.has(text(entry.name)));
        seen.set(text(entry.name), entry.ino);
      }
    }
    await vfs.releasedir(ino, handle);
    assert.equal(seen.get('.'), ino);
    seen.delete('.');
    seen.delete('..');
    assert.deepEqual([...seen.keys()].sort(), [...node.entries.keys()].sort());
    for (const [name, child] of node.entries) await this.#compare(vfs, seen.get(name)!, child);
  }
}

it('two mounts agree with a tree in memory', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 60 }), async (steps) => {
      const run = new TreeRun();
      for (const s of steps) await run.step(s);
      await run.finish();
    }),
    { numRuns: 300, seed: 20_260_728 },
  );
});
