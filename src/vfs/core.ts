import type { FsError } from '../base/errno.ts';
import type { Ino } from '../base/ids.ts';
import type { Attr, CommitOk, Op, Precondition } from '../gen/ringfs/v1/namespace.ts';
import type { BlockService } from '../ports/block-service.ts';
import type { Timers } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import type { MetaService } from '../ports/meta-service.ts';
import { DirtyBudget } from './dirty-budget.ts';
import { HandleTable } from './handle-table.ts';
import type { InodeState } from './inode-state.ts';
import { InodeTable } from './inode-table.ts';
import { KernelCache } from './kernel-cache.ts';
import type { VfsOptions } from './options.ts';
import { interruptible } from './wait.ts';

export interface VfsComponents {
  readonly meta: MetaService;
  readonly blocks: BlockService;
  readonly timers: Timers;
  readonly logger: Logger;
}

export type Committed = CommitOk & { readonly index: number };

export interface CommitRequest {
  readonly preconditions?: readonly Precondition[];
  readonly signal?: AbortSignal | undefined;
  /** See CommitOptions. */
  readonly sameSession?: boolean;
  /** See CommitOptions. */
  readonly uploadedAt?: number;
  /** Runs in the same turn as the bookkeeping of the commit, before it. */
  readonly applied?: (ok: Committed) => void;
}

/** What all operations share: the services and the state of the mount. */
export class VfsCore {
  readonly meta: MetaService;
  readonly blocks: BlockService;
  readonly timers: Timers;
  readonly logger: Logger;
  readonly options: VfsOptions;
  readonly inodes: InodeTable;
  readonly handles = new HandleTable();
  readonly kernel = new KernelCache();
  readonly budget: DirtyBudget;
  /** Highest inode number that a commit of this mount made. They count up. */
  #newestIno = 0;
  /** Inodes without a name that are being made. */
  readonly #unnamed = new Set<{ readonly above: number }>();
  /** Counts changes of any metadata that this mount learned of, own and others'. */
  changes = 0;

  constructor(components: VfsComponents, options: VfsOptions) {
    this.meta = components.meta;
    this.blocks = components.blocks;
    this.timers = components.timers;
    this.logger = components.logger;
    this.options = options;
    this.inodes = new InodeTable(options);
    this.budget = new DirtyBudget(options.dirtyBytesMax);
    this.meta.setOpenInodesProbe((inos) => inos.filter((ino) => this.#isOpen(ino) || this.#mayBeOpened(ino)));
    this.meta.onChange((changes) => {
      this.changes++;
      if (!changes) {
        for (const state of this.inodes.all()) state.layout = undefined;
        this.kernel.changedAll();
        return;
      }
      for (const { ino, dataChanged } of changes) {
        const state = this.inodes.get(ino);
        if (state && dataChanged) state.layout = undefined;
      }
      this.kernel.changed(changes);
    });
  }

  /**
   * Runs `make`, which makes an inode without a name and opens it. The question whether it is open can arrive before the answer
   * that tells its number; inodes that are newer than all known before count as open until then.
   */
  async withUnnamed<T>(make: () => Promise<T>): Promise<T> {
    const pending = { above: this.#newestIno };
    this.#unnamed.add(pending);
    try {
      return await make();
    } finally {
      this.#unnamed.delete(pending);
    }
  }

  #mayBeOpened(ino: Ino): boolean {
    for (const { above } of this.#unnamed) if (ino > above) return true;
    return false;
  }

  #isOpen(ino: Ino): boolean {
    return (this.inodes.get(ino)?.handles ?? 0) > 0 || this.handles.hasOpenDirectory(ino);
  }

  /** Commits and takes note of everything that the commit changed. */
  async commit(ops: readonly Op[], request: CommitRequest = {}): Promise<Committed> {
    const ok = await this.meta.commit(ops, {
      ...(request.preconditions ? { preconditions: request.preconditions } : {}),
      ...(request.signal ? { signal: request.signal } : {}),
      ...(request.sameSession ? { sameSession: true } : {}),
      ...(request.uploadedAt === undefined ? {} : { uploadedAt: request.uploadedAt }),
    });
    request.applied?.(ok);
    this.changes++;
    for (const { attr } of ok.touched) {
      if (attr && attr.ino > this.#newestIno) this.#newestIno = attr.ino;
      const state = attr && this.inodes.get(attr.ino);
      if (state && !isAmbiguous(state, attr)) state.adopt(attr);
    }
    this.kernel.committed(ok);
    return ok;
  }

  /** Linearizable attributes of an inode that is open here, without what is unflushed. */
  async freshAttr(state: InodeState, signal?: AbortSignal): Promise<Attr> {
    return await this.settle(state, await this.meta.getattr(state.ino, signal), signal);
  }

  /**
   * Takes note of attributes read from the servers. While an append is being committed they may or may not include it; then
   * its answer is waited for, or the appended bytes would count twice.
   */
  async settle(state: InodeState, attr: Attr, signal?: AbortSignal): Promise<Attr> {
    while (isAmbiguous(state, attr)) await interruptible(state.appending!.settled, signal);
    state.adopt(attr);
    return state.attr;
  }

  /** Attributes as this mount shows them: with what has been written here and not flushed. */
  async view(attr: Attr, signal?: AbortSignal): Promise<Attr> {
    const state = this.inodes.get(attr.ino);
    if (!state) return attr;
    await this.settle(state, attr, signal);
    return state.view();
  }

  /** Like `view` where waiting is not possible: may be as old as an append under way. */
  viewNow(attr: Attr): Attr {
    const state = this.inodes.get(attr.ino);
    if (!state) return attr;
    if (!isAmbiguous(state, attr)) state.adopt(attr);
    return state.view();
  }

  /** Logs data that is given up. The application has been told by write, fsync or close. */
  logLoss(state: InodeState, bytes: number, error: FsError | undefined): void {
    if (bytes === 0) return;
    this.logger.error({ ino: state.ino, bytes, errno: error?.code, err: error }, 'unflushed data was lost');
  }
}

function isAmbiguous(state: InodeState, attr: Attr): boolean {
  return (
    state.appending !== undefined &&
    attr.version > state.attr.version &&
    attr.dataVersion !== state.appending.dataVersion
  );
}
