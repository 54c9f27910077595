import assert from 'node:assert/strict';
import type { BlockId } from '../../../src/base/ids.ts';
import { type Random, seededRandom } from '../../../src/base/random.ts';
import { openSegmentStore } from '../../../src/io/segments/segment-store.ts';
import type { BlockStore } from '../../../src/ports/block-store.ts';
import { CrashDisk } from '../../support/crash-disk.ts';
import { RecordingLogger } from '../../support/recording-logger.ts';
import { type TestBlock, testBlock } from '../../support/test-blocks.ts';
import { VirtualTimers } from '../../support/virtual-timers.ts';

/** What must be true of one block. */
interface Expected {
  /** Undefined: a call failed, so that both may be. */
  present: boolean | undefined;
  /** At least, if it is there. */
  uploadedAt: number;
}

/** A put that failed is not there, but may be after a restart. */
function absent(before: boolean | undefined): boolean | undefined {
  return before === undefined ? undefined : false;
}

export interface SegmentsRun {
  readonly crashes: number;
  readonly steps: number;
  readonly full: number;
}

const BLOCKS = 24;

/**
 * Puts, deletes, touches and compactions of a store whose disk loses power at numbered steps and is full now and then, against
 * a map that says what must be there.
 */
export class SegmentsSimulation {
  readonly #random: Random;
  readonly #disk: CrashDisk;
  readonly #timers = new VirtualTimers();
  readonly #blocks: readonly TestBlock[];
  readonly #expected = new Map<BlockId, Expected>();
  #store: BlockStore | undefined;
  #index = 1;
  #full = 0;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
    this.#disk = new CrashDisk(seededRandom(seed + 1));
    this.#blocks = Array.from({ length: BLOCKS }, (_, i) => testBlock(i, 100 + this.#random.below(3000)));
    for (const { id } of this.#blocks) this.#expected.set(id, { present: false, uploadedAt: 0 });
  }

  /** Resolves with what happened; time passes as it is needed. */
  run(rounds: number): Promise<SegmentsRun> {
    return this.#timers.resolve(this.#run(rounds), 24 * 3600_000);
  }

  async #run(rounds: number): Promise<SegmentsRun> {
    for (let round = 0; round < rounds; round++) {
      this.#disk.fullChance = this.#random.below(3) === 0 ? 0.05 : 0;
      this.#disk.stepsLeft = this.#random.below(4) === 0 ? undefined : this.#random.below(250);
      if (await this.#open()) await this.#work();
      const cleanly = !this.#disk.crashed && this.#random.below(2) === 0;
      if (!cleanly) this.#disk.crash();
      await this.#store?.close().catch(() => {});
      this.#disk.crash();
      this.#disk.fullChance = 0;
      const indexLost = this.#random.below(6) === 0;
      if (indexLost) this.#disk.loseIndex();
      await this.#check(indexLost);
    }
    await this.#emptied();
    return { crashes: this.#disk.crashes, steps: this.#disk.steps, full: this.#full };
  }

  /** False: the power went meanwhile. */
  async #open(): Promise<boolean> {
    const components = {
      ...this.#disk.open(),
      timers: this.#timers,
      random: seededRandom(3),
      logger: new RecordingLogger(),
    };
    const options = { clusterId: 'test', nodeId: 'n', segmentSizeBytesMax: 12 * 1024, reserveBytes: 0 };
    this.#store = undefined;
    try {
      this.#store = await openSegmentStore(components, options);
      return true;
    } catch (error) {
      if (this.#disk.crashed || this.#disk.fullChance > 0) return false;
      throw error;
    }
  }

  async #work(): Promise<void> {
    for (let turn = 0; turn < 30 && !this.#disk.crashed; turn++) {
      this.#index++;
      const count = 1 + this.#random.below(6);
      const busy = new Set<BlockId>();
      const calls: Promise<void>[] = [];
      for (let i = 0; i < count; i++) {
        const block = this.#blocks[this.#random.below(BLOCKS)]!;
        if (busy.has(block.id)) continue;
        busy.add(block.id);
        calls.push(this.#change(block));
      }
      if (this.#random.below(4) === 0) calls.push(this.#reclaim());
      await Promise.all(calls);
    }
  }

  async #reclaim(): Promise<void> {
    await this.#store?.reclaim().catch(() => this.#full++);
  }

  async #change(block: TestBlock): Promise<void> {
    const store = this.#store!;
    const expected = this.#expected.get(block.id)!;
    const { present, uploadedAt } = expected;
    const index = this.#index;
    expected.present = undefined;
    try {
      switch (this.#random.below(5)) {
        case 0:
        case 1:
          await store.put(block.id, block.data, index);
          this.#expected.set(block.id, { present: true, uploadedAt: index });
          return;
        case 2: {
          const [there] = await store.touch([block.id], index);
          if (present !== undefined) assert.equal(there, present, 'touch tells whether the block is there');
          expected.present = there === true ? true : absent(present);
          expected.uploadedAt = there === true ? index : 0;
          return;
        }
        case 3: {
          // Of an earlier upload: must not delete a later one.
          const outcome = await store.delete(block.id, uploadedAt);
          if (present === true) assert.equal(outcome, 'kept', 'a delete of an earlier upload');
          if (present === false) assert.equal(outcome, 'missing', 'a delete of nothing');
          if (outcome === 'missing') expected.present = absent(present);
          else if (outcome === 'deleted') expected.present = false;
          // One that failed before may have deleted it nevertheless.
          else expected.present = present === undefined ? undefined : true;
          return;
        }
        default: {
          const outcome = await store.delete(block.id, index + 1);
          assert.notEqual(outcome, 'kept');
          expected.present = outcome === 'missing' ? absent(present) : false;
        }
      }
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error;
      this.#full++;
      // A put or a touch that failed leaves what was there. A delete does not.
      if (present === true) expected.uploadedAt = 0;
    }
  }

  /** The power is back: everything that was answered is there. */
  async #check(indexLost: boolean): Promise<void> {
    assert.ok(await this.#open(), 'the store opens');
    const store = this.#store!;
    let blocks = 0;
    let bytes = 0;
    for (const block of this.#blocks) {
      const expected = this.#expected.get(block.id)!;
      const data = await store.get(block.id);
      if (data !== undefined) assert.ok(Buffer.from(block.data).equals(data), 'the content of a block');
      const [entry] = await store.stat([block.id]);
      if (expected.present === true) {
        assert.ok(data !== undefined, `block ${block.id} is lost`);
        assert.ok((entry?.uploadedAt ?? -1) >= expected.uploadedAt, 'a later upload was forgotten');
      }
      // Without its index, a store may find an old copy whose deletion it has forgotten.
      if (expected.present === false && !indexLost) assert.equal(data, undefined, `${block.id} is back`);
      expected.present = data !== undefined;
      expected.uploadedAt = entry?.uploadedAt ?? 0;
      blocks += data === undefined ? 0 : 1;
      bytes += data?.length ?? 0;
    }
    await store.reclaim();
    const stats = await store.stats();
    assert.deepEqual([stats.blocks, stats.storedBytes], [blocks, bytes], `the counters, ${indexLost}`);
    await store.close();
  }

  async #emptied(): Promise<void> {
    assert.ok(await this.#open());
    const store = this.#store!;
    for (const { id } of this.#blocks) await store.delete(id);
    await store.reclaim();
    const stats = await store.stats();
    assert.deepEqual([stats.blocks, stats.storedBytes], [0, 0]);
    assert.ok(this.#disk.usedBytes < 2 * 12 * 1024, `${this.#disk.usedBytes} bytes are left of nothing`);
    await store.close();
  }
}
