import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cp, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { BlockId } from '../../../src/base/ids.ts';
import { type Random, seededRandom } from '../../../src/base/random.ts';
import { LocalBlocks } from '../../../src/block/local-blocks.ts';
import { Scrub } from '../../../src/block/scrub.ts';
import { openDerivedKv } from '../../../src/io/rocksdb/derived-kv.ts';
import { BlockIndex } from '../../../src/io/segments/block-index.ts';
import { openBlockStore } from '../../../src/io/segments/open-block-store.ts';
import type { BlockStore } from '../../../src/ports/block-store.ts';
import type { Timers } from '../../../src/ports/clock.ts';
import { flipByte } from '../../support/flip-byte.ts';
import { RecordingLogger } from '../../support/recording-logger.ts';
import { systemTimers } from '../../support/system-timers.ts';
import { type TestBlock, testBlock } from '../../support/test-blocks.ts';

const SEGMENT_HEADER_BYTES = 256;
const RECORD_HEADER_BYTES = 64;
const BLOCKS = 60;

export interface FlipOutcome {
  /** Blocks that were fetched from another node. */
  readonly healed: number;
  readonly setAside: number;
  readonly rebuilt: boolean;
}

/** The scrubber's pauses are too short for a timer. */
function impatient(): Timers {
  const timers = systemTimers();
  return { ...timers, sleep: (ms, signal) => (ms < 1 ? setImmediate() : timers.sleep(ms, signal)) };
}

/** Seed and length of a test block. */
type Recipe = readonly [seed: number, length: number];

export interface Truth {
  readonly blocks: readonly Recipe[];
  readonly deleted: readonly Recipe[];
}

interface Opened {
  readonly store: BlockStore;
  readonly logger: RecordingLogger;
  /** The index has said that it is damaged. */
  damaged(): boolean;
}

/**
 * A small store on a real disk: puts, touches, deletes and a compaction have left live and dead records in several segments, and an
 * index with tables and a log. Each trial flips some bits of one byte in a copy of it, starts it, lets the scrubber run, and looks.
 */
export class FlippedBytes {
  readonly #random: Random;
  readonly #root: string;
  readonly #blocks = new Map<BlockId, Recipe>();
  /** Bytes of each segment file that some live block is in. */
  readonly #live = new Map<string, { from: number; to: number }[]>();
  readonly #deleted = new Map<BlockId, Recipe>();
  #trial = 0;
  files: { readonly segments: readonly string[]; readonly index: readonly string[] } = {
    segments: [],
    index: [],
  };

  private constructor(seed: number, root: string) {
    this.#random = seededRandom(seed);
    this.#root = root;
  }

  static async make(seed: number): Promise<FlippedBytes> {
    const trials = new FlippedBytes(seed, await mkdtemp(path.join(tmpdir(), 'flipped-')));
    await trials.#fill();
    return trials;
  }

  async close(): Promise<void> {
    await rm(this.#root, { recursive: true, force: true });
  }

  async #fill(): Promise<void> {
    const folder = path.join(this.#root, 'original');
    const random = this.#random;
    // Twice: what the first life wrote is in a table of the index then, and what the second did in its log.
    for (let life = 0; life < 2; life++) {
      const { store } = await openFlipped(folder);
      for (let i = 0; i < BLOCKS / 2; i++) {
        const recipe: Recipe = [1000 * life + i, 100 + random.below(5000)];
        const block = testBlock(...recipe);
        await store.put(block.id, block.data, i);
        this.#blocks.set(block.id, recipe);
        if (random.below(4) === 0) await store.touch([block.id], 100 + i);
      }
      for (const [id, recipe] of [...this.#blocks]) {
        if (random.below(5) > 0) continue;
        await store.delete(id);
        this.#blocks.delete(id);
        this.#deleted.set(id, recipe);
      }
      await store.close();
    }
    await this.#learnLive(folder);
    const names = await readdir(folder);
    const index = await readdir(path.join(folder, 'index'));
    // LOCK is empty, LOG is for people.
    const own = index.filter((name) => !/^LO(CK|G.*)$/.test(name)).map((name) => path.join('index', name));
    this.files = { segments: names.filter((name) => name.startsWith('seg-')).sort(), index: own.sort() };
  }

  /** In a copy, so that the index does not change by being read. */
  async #learnLive(folder: string): Promise<void> {
    const copy = path.join(this.#root, 'learned');
    await cp(folder, copy, { recursive: true });
    const kv = await openDerivedKv(path.join(copy, 'index'), {
      logger: new RecordingLogger(),
      onDamaged: (reason) => assert.fail(reason),
    });
    for await (const { segment, offset, length } of new BlockIndex({ kv }).entries()) {
      const name = `seg-${String(segment).padStart(8, '0')}.dat`;
      const ranges = this.#live.get(name) ?? [];
      this.#live.set(name, ranges);
      ranges.push({ from: offset, to: offset + RECORD_HEADER_BYTES + length });
    }
    await kv.close();
  }

  /** Throws when anything is lost, wrong, or not noticed. */
  async run(file: string): Promise<FlipOutcome> {
    const folder = path.join(this.#root, `trial-${this.#trial++}`);
    await cp(path.join(this.#root, 'original'), folder, { recursive: true });
    const { size } = await stat(path.join(folder, file));
    if (size === 0) return { healed: 0, setAside: 0, rebuilt: false };
    // The headers of segments are a small part of them.
    const inHeader = file.startsWith('seg-') && this.#random.below(4) === 0;
    const offset = this.#random.below(inHeader ? SEGMENT_HEADER_BYTES : size);
    const mask = 1 + this.#random.below(255);
    await flipByte(path.join(folder, file), offset, mask);
    try {
      const truth = { blocks: [...this.#blocks.values()], deleted: [...this.#deleted.values()] };
      if (file.startsWith('seg-')) {
        const outcome = await scrubbed(folder, truth);
        this.#checkSegmentFlip(file, offset, outcome);
        return outcome;
      }
      const outcome = scrubbedApart(folder, truth);
      assert.equal(outcome.healed, 0, 'the index needs no other node');
      return outcome;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(`${file}: byte ${offset} of ${size}, mask ${mask}: ${why}`, { cause: error });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  #checkSegmentFlip(file: string, offset: number, { healed, setAside, rebuilt }: FlipOutcome): void {
    assert.equal(rebuilt, false);
    const ranges = this.#live.get(file) ?? [];
    const hit = ranges.some(({ from, to }) => offset >= from && offset < to);
    assert.equal(healed, hit ? 1 : 0, 'the block is found to be damaged and healed, and no other');
    assert.equal(setAside, offset < SEGMENT_HEADER_BYTES ? 1 : 0, 'segments set aside');
  }
}

async function openFlipped(folder: string): Promise<Opened> {
  const logger = new RecordingLogger();
  let damaged = false;
  const onIndexDamaged = (): void => {
    damaged = true;
  };
  const store = await openBlockStore(
    folder,
    { timers: systemTimers(), random: seededRandom(1), logger, onIndexDamaged },
    { clusterId: 'test', nodeId: 'n1', segmentSizeBytesMax: 24 * 1024, reserveBytes: 0 },
  );
  return { store, logger, damaged: () => damaged };
}

/** Starts in this process, scrubs, and starts again when the index asks for it. Throws when a block is not as it should be then. */
export async function scrubbed(folder: string, truth: Truth): Promise<FlipOutcome> {
  const blocks = new Map(
    truth.blocks.map((recipe) => testBlock(...recipe)).map((block) => [block.id, block]),
  );
  const deleted = truth.deleted.map((recipe) => testBlock(...recipe));
  let healed = 0;
  let rebuilt = false;
  for (let start = 0; ; start++) {
    assert.ok(start < 3, 'a start that needs another one');
    const { store, logger, damaged } = await openFlipped(folder);
    const local = new LocalBlocks({ store, logger });
    // Copies of other nodes.
    const heal = async (id: BlockId): Promise<boolean> => {
      const block = blocks.get(id);
      if ((await local.verify(id)) === 'good') return true;
      if (block === undefined) return false;
      await local.replace(id, block.data, 1);
      healed++;
      return true;
    };
    const scrub = new Scrub(
      {
        local,
        repair: { heal },
        timers: impatient(),
        random: seededRandom(start),
        logger,
        joined: () => true,
      },
      { intervalMs: 1, bytesPerSecond: Number.MAX_SAFE_INTEGER },
    );
    scrub.start();
    while (scrub.status().passes === 0 && !damaged()) await setImmediate();
    await scrub.stop();
    rebuilt ||= logger.has('block index is missing or stale: rebuilding it');
    if (damaged()) {
      await store.close();
      continue;
    }
    const { found, healed: byScrub } = scrub.status();
    assert.deepEqual([found, byScrub, local.corruptFound], [healed, healed, healed], 'all is counted');
    await checkContent(local, [...blocks.values()], deleted);
    // A write under way can keep a segment from being set aside the first time.
    assert.deepEqual((await store.inspect(100)).lost, []);
    const { quarantinedSegments: setAside } = await store.stats();
    await store.close();
    return { healed, setAside, rebuilt };
  }
}

async function checkContent(
  local: LocalBlocks,
  blocks: readonly TestBlock[],
  deleted: readonly TestBlock[],
): Promise<void> {
  for (const { id, data } of blocks) {
    const found = await local.getVerified(id);
    assert.ok(found instanceof Uint8Array, `block ${id} is ${String(found)}`);
    assert.ok(Buffer.from(data).equals(found));
  }
  // What was deleted may be back, as garbage, but not as something else.
  for (const { id } of deleted) assert.notEqual(await local.verify(id), 'corrupt');
}

/** In a process of its own, which RocksDB may abort, and which is started again then, as a supervisor does. */
function scrubbedApart(folder: string, truth: Truth): FlipOutcome {
  const child = path.join(import.meta.dirname, 'flipped-child.js');
  for (let start = 0; start < 4; start++) {
    const { status, signal, stdout, stderr } = spawnSync(process.execPath, [child, folder], {
      input: JSON.stringify(truth),
      encoding: 'utf8',
    });
    if (status === 0) return JSON.parse(stdout) as FlipOutcome;
    assert.ok(signal === 'SIGABRT' || signal === 'SIGSEGV', `ended with ${signal ?? status}: ${stderr}`);
  }
  return assert.fail('no start came to an end');
}
