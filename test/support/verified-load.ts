import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Ino, ROOT_INO } from '../../src/base/ids.ts';
import type { Random } from '../../src/base/random.ts';
import { BlockClient } from '../../src/client/block-client.ts';
import { MetaClient } from '../../src/client/meta-client.ts';
import { blockConnector, metaConnector } from '../../src/io/grpc/connectors.ts';
import { jitterRandom, systemRandom } from '../../src/io/os/system-random.ts';
import { SystemTimers } from '../../src/io/os/system-timers.ts';
import { Vfs } from '../../src/vfs/vfs.ts';
import { RecordingLogger } from './recording-logger.ts';

const O_RDONLY = 0;
const O_WRONLY = 1;
const CALLER = { uid: 0, gid: 0, pid: 1 };
const NOISE_BYTES = 8 << 20;
const PIECE_BYTES = 1 << 20;

export interface VerifiedLoadOptions {
  /** Of metadata servers. */
  readonly addresses: readonly string[];
  readonly random: Random;
  readonly writers: number;
  readonly readers: number;
  readonly fileBytesMax: number;
  /** The oldest files are deleted when there are more. */
  readonly filesMax: number;
  /** Between two operations of one caller, so that the machine is not what is tested. */
  readonly thinkMs: number;
  /** How long an operation may wait for servers. */
  readonly timeoutMs: number;
}

interface StoredFile {
  readonly name: Uint8Array;
  readonly ino: Ino;
  readonly bytes: number;
  readonly sha256: string;
  /** Being read: it is not deleted meanwhile. */
  readers: number;
}

/**
 * What a mount does, without a kernel: files are written, made durable, read and compared through the production client, which keeps
 * no blocks, so that every read goes to the ring.
 */
export class VerifiedLoad {
  readonly #options: VerifiedLoadOptions;
  readonly #meta: MetaClient;
  readonly #blocks: BlockClient;
  readonly #vfs: Vfs;
  readonly #noise: Uint8Array;
  readonly #files: StoredFile[] = [];
  readonly #latenciesMs: number[] = [];
  #running: Promise<unknown> | undefined;
  #ended = false;
  #named = 0;
  readonly counts = { writes: 0, reads: 0, deletes: 0, bytesWritten: 0, bytesRead: 0 };
  /** What failed, or was read as something else. */
  readonly failures: string[] = [];

  private constructor(options: VerifiedLoadOptions, meta: MetaClient, blocks: BlockClient, vfs: Vfs) {
    this.#options = options;
    this.#meta = meta;
    this.#blocks = blocks;
    this.#vfs = vfs;
    this.#noise = options.random.bytes(NOISE_BYTES);
  }

  /** Connects; the cluster may still be starting. */
  static async connect(options: VerifiedLoadOptions): Promise<VerifiedLoad> {
    const { addresses, timeoutMs } = options;
    const timers = new SystemTimers();
    const logger = new RecordingLogger();
    const clientName = `load ${process.pid}`;
    const meta = new MetaClient(
      { connector: metaConnector(), timers, random: systemRandom, logger },
      { addresses, clientName, operationTimeoutMs: timeoutMs },
    );
    const { replicas, clusterId } = await meta.topology();
    const nodes = async (): Promise<readonly string[]> =>
      (await meta.topology()).blockNodes.flatMap(({ info, alive }) =>
        info !== undefined && alive ? [info.address] : [],
      );
    const blocks = new BlockClient(
      {
        connector: blockConnector(),
        timers,
        random: jitterRandom(),
        logger,
        nodes,
        seenIndex: () => meta.seenIndex(),
      },
      { clientName, clusterId, replicas, cacheBytes: 0, operationTimeoutMs: timeoutMs },
    );
    return new VerifiedLoad(options, meta, blocks, new Vfs({ meta, blocks, timers, logger }));
  }

  get operations(): number {
    const { writes, reads, deletes } = this.counts;
    return writes + reads + deletes;
  }

  get files(): number {
    return this.#files.length;
  }

  start(): void {
    const { writers, readers, random } = this.#options;
    const lanes = [
      ...Array.from({ length: writers }, () => this.#lane(() => this.#writeAndDelete())),
      ...Array.from({ length: readers }, () =>
        this.#lane(async () => {
          const file = this.#files[random.below(Math.max(1, this.#files.length))];
          if (file !== undefined) await this.#read(file);
        }),
      ),
    ];
    this.#running = Promise.all(lanes);
  }

  /** Ends the load when what is under way has ended. */
  async stop(): Promise<void> {
    this.#ended = true;
    await this.#running;
  }

  async readEverything(): Promise<void> {
    for (const file of this.#files) await this.#attempt('read', () => this.#read(file));
  }

  /** In ms, of all operations so far. */
  latency(share: number): number {
    const sorted = this.#latenciesMs.toSorted((a, b) => a - b);
    return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0);
  }

  async close(): Promise<void> {
    await this.stop();
    await this.#vfs.close();
    await this.#blocks.close();
    await this.#meta.close();
  }

  async #lane(operation: () => Promise<void>): Promise<void> {
    while (!this.#ended) {
      await this.#attempt('operation', operation);
      await sleep(this.#options.random.below(2 * this.#options.thinkMs));
    }
  }

  async #attempt(what: string, operation: () => Promise<void>): Promise<void> {
    const begun = performance.now();
    try {
      await operation();
    } catch (error) {
      const ms = Math.round(performance.now() - begun);
      this.failures.push(`${what} failed after ${ms} ms: ${(error as Error).stack ?? String(error)}`);
    }
    this.#latenciesMs.push(performance.now() - begun);
  }

  async #writeAndDelete(): Promise<void> {
    await this.#write();
    if (this.#files.length <= this.#options.filesMax) return;
    const at = this.#files.findIndex(({ readers }) => readers === 0);
    const [file] = at < 0 ? [] : this.#files.splice(at, 1);
    if (file === undefined) return;
    await this.#vfs.unlink(ROOT_INO, file.name);
    this.#vfs.forget(file.ino, 1);
    this.counts.deletes++;
  }

  async #write(): Promise<void> {
    const { random, fileBytesMax } = this.#options;
    const name = new TextEncoder().encode(`f${this.#named++}`);
    const bytes = 1 + random.below(fileBytesMax);
    const hash = createHash('sha256');
    const { attr, handle } = await this.#vfs.create(CALLER, ROOT_INO, name, 0o644, O_WRONLY);
    const ino = attr.ino as Ino;
    for (let offset = 0; offset < bytes; offset += PIECE_BYTES) {
      const piece = this.#piece(Math.min(PIECE_BYTES, bytes - offset));
      hash.update(piece);
      await this.#vfs.write(ino, handle, offset, piece);
    }
    await this.#vfs.flush(ino, handle);
    await this.#vfs.release(ino, handle);
    this.#files.push({ name, ino, bytes, sha256: hash.digest('hex'), readers: 0 });
    this.counts.writes++;
    this.counts.bytesWritten += bytes;
  }

  /** Content that nothing else has, at little cost. */
  #piece(length: number): Uint8Array {
    const { random } = this.#options;
    const start = random.below(NOISE_BYTES - length);
    const piece = this.#noise.slice(start, start + length);
    if (length >= 8) new DataView(piece.buffer).setFloat64(0, random.next());
    return piece;
  }

  async #read(file: StoredFile): Promise<void> {
    file.readers++;
    try {
      const hash = createHash('sha256');
      const { handle } = await this.#vfs.open(CALLER, file.ino, O_RDONLY);
      for (let offset = 0; offset < file.bytes; offset += PIECE_BYTES) {
        for (const piece of await this.#vfs.read(file.ino, handle, offset, PIECE_BYTES)) hash.update(piece);
      }
      await this.#vfs.release(file.ino, handle);
      if (hash.digest('hex') !== file.sha256)
        throw new Error(`other content than written: inode ${file.ino}`);
      this.counts.reads++;
      this.counts.bytesRead += file.bytes;
    } finally {
      file.readers--;
    }
  }
}
