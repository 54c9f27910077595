import { defined } from '../../src/base/assert.ts';
import { errnoName, FsError } from '../../src/base/errno.ts';
import type { Ino } from '../../src/base/ids.ts';
import { OPS_PER_COMMIT_MAX } from '../../src/base/limits.ts';
import { rangeMessage } from '../../src/core/namespace/locks/ranges.ts';
import * as read from '../../src/core/namespace/read.ts';
import type { ApplyOutcome } from '../../src/core/namespace/types.ts';
import type { DirEntry, StatFsReply } from '../../src/gen/ringfs/v1/meta.ts';
import type {
  Attr,
  Chunk,
  Command,
  CommitOk,
  CommitResult,
  Op,
  SetLock,
} from '../../src/gen/ringfs/v1/namespace.ts';
import type { Clock, Instant } from '../../src/ports/clock.ts';
import {
  BlocksMissing,
  type CommitOptions,
  type InodeChange,
  type LockEvent,
  type MetaService,
  PreconditionFailed,
} from '../../src/ports/meta-service.ts';
import { NamespaceMachine } from './namespace-machine.ts';

/** Called at the named points; await to delay, throw (an FsError) to fail. */
export interface MemoryMetaHooks {
  /** Before a commit is applied: a throw means that it never was. */
  beforeCommit?: (client: MemoryMetaService, ops: readonly Op[]) => Promise<void> | void;
  /** After it was applied and before its answer arrives: a throw means that its fate is unknown to the client. */
  afterCommit?: (client: MemoryMetaService, ops: readonly Op[]) => Promise<void> | void;
  beforeRead?: (client: MemoryMetaService, method: string) => Promise<void> | void;
}

export interface SharedMemoryMetaOptions {
  /** Default: a clock that moves one millisecond with every look, from 2023-11-14. */
  readonly clock?: Pick<Clock, 'wallTime'>;
  readonly hooks?: MemoryMetaHooks;
  readonly capacityBytes?: number;
}

const CLUSTER_ID = '00000000-0000-4000-8000-000000000000';

/** One metadata cluster in memory, for any number of clients: `sharedMemoryMeta().client()`. */
export function sharedMemoryMeta(options: SharedMemoryMetaOptions = {}): SharedMemoryMeta {
  return new SharedMemoryMeta(options);
}

/** The real state machine over a map, with the part of the leader that clients notice: recalls and the reaping of orphans. */
export class SharedMemoryMeta {
  readonly machine = new NamespaceMachine();
  readonly hooks: MemoryMetaHooks;
  readonly capacityBytes: number;
  readonly #clock: Pick<Clock, 'wallTime'> | undefined;
  readonly #clients = new Set<MemoryMetaService>();
  #ticks = 0;
  #nonces = 0;

  constructor(options: SharedMemoryMetaOptions = {}) {
    this.hooks = options.hooks ?? {};
    this.capacityBytes = options.capacityBytes ?? 2 ** 40;
    this.#clock = options.clock;
    const value = { clusterId: CLUSTER_ID, time: this.wallTime(), replicas: 3, formatVersion: 1 };
    this.machine.apply({ body: { $case: 'initCluster', value } });
  }

  client(name = `client-${this.#clients.size + 1}`): MemoryMetaService {
    const client = new MemoryMetaService(this, name);
    this.#clients.add(client);
    return client;
  }

  wallTime(): Instant {
    if (this.#clock !== undefined) return this.#clock.wallTime();
    this.#ticks++;
    return { sec: 1_700_000_000 + Math.floor(this.#ticks / 1000), nsec: (this.#ticks % 1000) * 1_000_000 };
  }

  openSession(name: string): number {
    const nonce = new Uint8Array(16);
    new DataView(nonce.buffer).setUint32(0, ++this.#nonces);
    const value = { nonce, client: name, time: this.wallTime() };
    return this.machine.apply({ body: { $case: 'openSession', value } }).value;
  }

  /** Applies a client's commit and tells the others, as the leader does before it answers. */
  applyCommit(command: Command, from: MemoryMetaService): ApplyOutcome {
    const outcome = this.machine.apply(command);
    this.#tellGrants(outcome);
    const { body } = outcome.result;
    if (body?.$case === 'ok' && !outcome.duplicate) {
      const changes = changesOf(body.value);
      if (changes.length > 0) {
        for (const client of this.#clients) if (client !== from) client.tellChange(changes);
      }
    }
    return outcome;
  }

  /** The leader expires the client's session: it finds out with its next commit. */
  expire(client: MemoryMetaService): void {
    const sessions = client.session === 0 ? [] : [client.session];
    this.#tellGrants(this.machine.apply({ body: { $case: 'expireSessions', value: { sessions } } }));
  }

  #tellGrants(outcome: ApplyOutcome): void {
    for (const { session, ino, ticket } of outcome.grants ?? []) {
      for (const client of this.#clients) {
        if (client.session === session) client.tellLocks({ type: 'granted', ino, ticket });
      }
    }
  }

  /** Deletes what is unlinked and open nowhere. Returns how many inodes went. */
  async reapOrphans(chunksMax = 16): Promise<number> {
    const orphans = (await read.listOrphans(this.machine.store, 0, 1_000_000)).map((row) => row.ino as Ino);
    const open = new Set<number>();
    for (const client of this.#clients) for (const ino of client.probeOpen(orphans)) open.add(ino);
    const idle = orphans.filter((ino) => !open.has(ino));
    for (const ino of idle) {
      const command: Command = { body: { $case: 'reapOrphan', value: { ino, chunksMax } } };
      while (this.machine.apply(command).value > 0);
    }
    return idle.length;
  }

  forget(client: MemoryMetaService): void {
    this.#clients.delete(client);
    this.expire(client);
  }
}

function changesOf(ok: CommitOk): InodeChange[] {
  return ok.touched.map((touched) => {
    const attr = defined(touched.attr, 'the attributes of a touched inode');
    return {
      ino: attr.ino as Ino,
      version: attr.version,
      dataChanged: attr.dataVersion !== touched.previousDataVersion,
      removed: touched.removed,
    };
  });
}

/** One client of a SharedMemoryMeta, with a real session and sequence numbers. */
export class MemoryMetaService implements MetaService {
  readonly name: string;
  readonly #shared: SharedMemoryMeta;
  readonly #listeners: ((change: readonly InodeChange[] | undefined) => void)[] = [];
  readonly #inFlight = new Set<number>();
  readonly #lockListeners: ((event: LockEvent) => void)[] = [];
  /** Grants are lost on the way while this is set. */
  dropGrants = false;
  #probe: (inos: readonly Ino[]) => readonly Ino[] = () => [];
  #session = 0;
  #seenIndex = 0;
  #nextSequence = 1;
  #closed = false;
  #failures: FsError[] = [];
  /** Ops of all commits sent, for tests that count them. */
  readonly commits: (readonly Op[])[] = [];

  constructor(shared: SharedMemoryMeta, name: string) {
    this.#shared = shared;
    this.name = name;
  }

  /** 0 before the first commit. */
  get session(): number {
    return this.#session;
  }

  /** The next commit is not applied and fails with this. May be called several times. */
  failNextCommit(error: FsError): void {
    this.#failures.push(error);
  }

  /** As after a change of leaders: nothing cached may be used any more. */
  loseLease(): void {
    for (const listener of this.#listeners) listener(undefined);
  }

  tellChange(change: readonly InodeChange[]): void {
    for (const listener of this.#listeners) listener(change);
  }

  tellLocks(event: LockEvent): void {
    if (event.type === 'granted' && this.dropGrants) return;
    for (const listener of this.#lockListeners) listener(event);
  }

  /** Finds out that the session has expired, as by a hello. */
  noticeSessionLost(): void {
    this.#session = 0;
    this.loseLease();
    this.tellLocks({ type: 'lost' });
  }

  probeOpen(inos: readonly Ino[]): readonly Ino[] {
    return this.#probe(inos);
  }

  async lookup(parent: Ino, name: Uint8Array, signal?: AbortSignal): Promise<Attr | undefined> {
    await this.#beforeRead('lookup', signal);
    return (await read.lookup(this.#shared.machine.store, parent, name)).attr;
  }

  async getattr(ino: Ino, signal?: AbortSignal): Promise<Attr> {
    await this.#beforeRead('getattr', signal);
    return read.getattr(this.#shared.machine.store, ino);
  }

  async readdir(
    ino: Ino,
    after: Uint8Array,
    limit: number,
    withAttrs: boolean,
    signal?: AbortSignal,
  ): Promise<{ entries: readonly DirEntry[]; end: boolean; attr: Attr }> {
    await this.#beforeRead('readdir', signal);
    return read.readdir(this.#shared.machine.store, ino, after, limit, withAttrs);
  }

  async getChunks(
    ino: Ino,
    first: number,
    count: number,
    signal?: AbortSignal,
  ): Promise<{ chunks: readonly Chunk[]; attr: Attr }> {
    await this.#beforeRead('getChunks', signal);
    return read.getChunks(this.#shared.machine.store, ino, first, count);
  }

  async nextChunk(ino: Ino, first: number, signal?: AbortSignal): Promise<number | undefined> {
    await this.#beforeRead('nextChunk', signal);
    return (await read.nextChunks(this.#shared.machine.store, ino, first, 1)).chunks[0]?.index;
  }

  async getxattr(ino: Ino, name: Uint8Array, signal?: AbortSignal): Promise<Uint8Array> {
    await this.#beforeRead('getxattr', signal);
    return read.getxattr(this.#shared.machine.store, ino, name);
  }

  async listxattr(ino: Ino, signal?: AbortSignal): Promise<readonly Uint8Array[]> {
    await this.#beforeRead('listxattr', signal);
    return read.listxattr(this.#shared.machine.store, ino);
  }

  async statfs(signal?: AbortSignal): Promise<StatFsReply> {
    await this.#beforeRead('statfs', signal);
    const { inodes, allocatedBytes } = await read.readCounters(this.#shared.machine.store);
    const { capacityBytes } = this.#shared;
    const availableBytes = Math.max(0, capacityBytes - allocatedBytes);
    return { inodes, logicalBytes: allocatedBytes, capacityBytes, availableBytes };
  }

  async commit(
    ops: readonly Op[],
    options: CommitOptions = {},
  ): Promise<CommitOk & { readonly index: number }> {
    this.#check(options.signal);
    if (ops.length > OPS_PER_COMMIT_MAX) throw new FsError('EINVAL', 'too many ops');
    let assumed = [...(options.assumedBlocks ?? [])];
    for (;;) {
      const { body, index } = await this.#send(ops, options, assumed);
      switch (body?.$case) {
        case 'ok':
          return { ...body.value, index };
        case 'rejected':
          if (body.value.errno === 0) throw new PreconditionFailed(body.value.current);
          throw new FsError(
            errnoName(body.value.errno),
            body.value.detail === '' ? undefined : body.value.detail,
          );
        case 'missingBlocks': {
          const missing = body.value.blockIds;
          if (options.onMissing === undefined) throw new BlocksMissing(missing.length);
          await options.onMissing(missing);
          const uploaded = new Set(missing.map((id) => id.join()));
          assumed = assumed.filter((id) => !uploaded.has(id.join()));
          break;
        }
        case 'sessionUnknown':
          // Nothing was applied. What was leased to the old session is stale.
          this.noticeSessionLost();
          if (options.sameSession === true) throw new FsError('EIO', 'the session was lost');
          break;
        case undefined:
          throw new FsError('EIO', 'an empty answer');
      }
    }
  }

  async getLock(
    wanted: SetLock,
    signal?: AbortSignal,
  ): Promise<{ readonly held: SetLock; readonly ownSession: boolean } | undefined> {
    await this.#beforeRead('getLock', signal);
    const lock = await read.conflictingLock(this.#shared.machine.store, this.#session, wanted);
    if (lock === undefined) return undefined;
    const { exclusive, first, last, pid, session } = lock;
    const held = { ...wanted, range: rangeMessage(first, last), type: exclusive ? 1 : 0, pid };
    return { held, ownSession: session === this.#session };
  }

  async lockWaits(ino: Ino, ticket: number, signal?: AbortSignal): Promise<boolean> {
    await this.#beforeRead('lockWaits', signal);
    return read.lockWaits(this.#shared.machine.store, this.#session, ino, ticket);
  }

  onLocks(listener: (event: LockEvent) => void): void {
    this.#lockListeners.push(listener);
  }

  seenIndex(): number {
    return this.#seenIndex;
  }

  now(): Instant {
    return this.#shared.wallTime();
  }

  onChange(listener: (change: readonly InodeChange[] | undefined) => void): void {
    this.#listeners.push(listener);
  }

  setOpenInodesProbe(probe: (inos: readonly Ino[]) => readonly Ino[]): void {
    this.#probe = probe;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#shared.forget(this);
  }

  async #send(
    ops: readonly Op[],
    options: CommitOptions,
    assumed: readonly Uint8Array[],
  ): Promise<CommitResult> {
    await this.#shared.hooks.beforeCommit?.(this, ops);
    this.#check(options.signal);
    const failure = this.#failures.shift();
    if (failure !== undefined) throw failure;
    if (this.#session === 0) {
      this.#session = this.#shared.openSession(this.name);
      this.#nextSequence = 1;
      this.#inFlight.clear();
    }
    const sequence = this.#nextSequence++;
    this.#inFlight.add(sequence);
    const value = {
      session: this.#session,
      sequence,
      ackedBelow: Math.min(...this.#inFlight),
      time: this.now(),
      preconditions: [...(options.preconditions ?? [])],
      ops: [...ops],
      assumedBlocks: [...assumed],
      uploadedAt: options.uploadedAt,
    };
    this.commits.push(ops);
    const outcome = this.#shared.applyCommit({ body: { $case: 'commit', value } }, this);
    this.#seenIndex = outcome.result.index;
    try {
      await this.#shared.hooks.afterCommit?.(this, ops);
    } finally {
      this.#inFlight.delete(sequence);
    }
    return outcome.result;
  }

  async #beforeRead(method: string, signal: AbortSignal | undefined): Promise<void> {
    this.#check(signal);
    await this.#shared.hooks.beforeRead?.(this, method);
    this.#check(signal);
  }

  #check(signal: AbortSignal | undefined): void {
    if (this.#closed) throw new FsError('EIO', 'the client is closed');
    if (signal?.aborted === true) throw new FsError('EINTR');
  }
}
