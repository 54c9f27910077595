import { FsError } from '../../src/base/errno.ts';
import { type Ino, ROOT_INO } from '../../src/base/ids.ts';
import type { Attr } from '../../src/gen/ringfs/v1/namespace.ts';
import type { FileSystem } from '../../src/ports/file-system.ts';
import { componentsOf } from './names.ts';

/**
 * Finds inodes by path, one lookup per component. Nothing is remembered between calls: a name may be renamed by another mount
 * at any time, and the file system below has a cache that knows.
 */
export class PathWalker {
  readonly #fileSystem: FileSystem;

  constructor(components: { fileSystem: FileSystem }) {
    this.#fileSystem = components.fileSystem;
  }

  /** Calls `use` with the inode while it is referenced. */
  async withInode<T>(path: string, use: (ino: Ino) => Promise<T>): Promise<T> {
    return this.#walk(componentsOf(path), use);
  }

  async withAttr<T>(path: string, use: (attr: Attr) => Promise<T>): Promise<T> {
    const names = componentsOf(path);
    const name = names.pop();
    if (name === undefined) return use(await this.#fileSystem.getattr(ROOT_INO));
    return this.#walk(names, async (parent) => {
      const attr = await this.#fileSystem.lookup(parent, name);
      try {
        return await use(attr);
      } finally {
        this.#fileSystem.forget(attr.ino as Ino, 1);
      }
    });
  }

  /** Calls `use` with the directory that holds the last name of the path, which need not exist. */
  async withParent<T>(path: string, use: (parent: Ino, name: Uint8Array) => Promise<T>): Promise<T> {
    const names = componentsOf(path);
    const name = names.pop();
    if (name === undefined) throw new FsError('EBUSY', 'the root has no name');
    return this.#walk(names, (parent) => use(parent, name));
  }

  async #walk<T>(names: readonly Uint8Array[], use: (ino: Ino) => Promise<T>): Promise<T> {
    const held: Ino[] = [];
    try {
      let at = ROOT_INO;
      for (const name of names) {
        at = (await this.#fileSystem.lookup(at, name)).ino as Ino;
        held.push(at);
      }
      return await use(at);
    } finally {
      for (const ino of held) this.#fileSystem.forget(ino, 1);
    }
  }
}
