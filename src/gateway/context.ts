import { FsError } from '../base/errno.ts';
import type { Caller, ConditionalFileSystem } from '../ports/file-system.ts';
import type { MetaService } from '../ports/meta-service.ts';
import { Slots } from './slots.ts';

/** The tree: its metadata is read directly, since nothing here keeps a file half written under a name; all else goes through the VFS. */
export interface Tree {
  readonly meta: MetaService;
  readonly files: ConditionalFileSystem;
}

/** What all requests share. */
export class GatewayContext {
  /** Whose the files are that are made. */
  readonly caller: Caller;
  readonly uploads: Slots;
  readonly downloads: Slots;
  #tree: Tree | undefined;

  constructor(
    { uid, gid }: { readonly uid: number; readonly gid: number },
    limits: { readonly uploads: number; readonly downloads: number },
  ) {
    this.caller = { uid, gid, pid: 0 };
    this.uploads = new Slots(limits.uploads, 'uploads');
    this.downloads = new Slots(limits.downloads, 'downloads');
  }

  /** Undefined while the cluster is being looked for. */
  setTree(tree: Tree | undefined): void {
    this.#tree = tree;
  }

  /** Throws EAGAIN. */
  get tree(): Tree {
    if (this.#tree === undefined) throw new FsError('EAGAIN', 'the gateway looks for its cluster');
    return this.#tree;
  }
}
