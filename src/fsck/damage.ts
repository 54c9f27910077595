import { toHex } from '../base/bytes.ts';
import { type Scratch, ScratchWriter, scratchKey, TAG, tagRange } from '../core/namespace/check/scratch.ts';
import { chunkKey, readU32, readU64 } from '../core/namespace/keys.ts';
import { CHUNK } from '../core/namespace/rows.ts';
import type { RowSource } from '../core/namespace/types.ts';
import type { BlockFinding, FoundCopy } from './census.ts';
import { pathOf } from './paths.ts';

/**
 * What can be said of a damaged block. `degraded`: fewer good copies than there should be. `unavailable`: no good one on the nodes
 * that answered, and some did not. `lost`: no node has a good copy. `repaired`: was one of these.
 */
export type Verdict = 'repaired' | 'degraded' | 'unavailable' | 'lost';

export interface DamagedBlock extends BlockFinding {
  readonly verdict: Verdict;
}

export interface DamagedRange {
  readonly offset: number;
  readonly length: number;
  readonly block: string;
  readonly verdict: Verdict;
  /** Those that are or were not good. */
  readonly copies: readonly FoundCopy[];
}

export interface DamagedFile {
  readonly ino: number;
  /** Undefined: unlinked, and open somewhere. */
  readonly path: string | undefined;
  readonly ranges: readonly DamagedRange[];
}

const BLOCK = 1;
const RANGE = 2;
const ID_BYTES = 32;

interface BlockRecord {
  readonly length: number;
  readonly copies: readonly FoundCopy[];
  readonly verdict: Verdict;
}
interface RangeRecord {
  readonly length: number;
  readonly id: string;
}

/** Damaged blocks and files, sorted in a store of their own: there may be as many as there are blocks. */
export class DamageBook {
  readonly #store: Scratch;
  readonly #writer: ScratchWriter;

  /** `store` is empty. */
  constructor(store: Scratch) {
    this.#store = store;
    this.#writer = new ScratchWriter(store);
  }

  async put({ id, length, copies, verdict }: DamagedBlock): Promise<void> {
    await this.#writer.put(blockRowKey(id), encode({ length, copies, verdict } satisfies BlockRecord));
  }

  /** All of them as of this call, in order. */
  async *blocks(): AsyncIterableIterator<DamagedBlock> {
    await this.#writer.flush();
    for await (const [key, value] of this.#store.scan(tagRange(BLOCK))) {
      const record = decode(value) as BlockRecord;
      yield { id: key.slice(1), ...record };
    }
  }

  /** It was none: nothing refers to the block any more. */
  async drop(id: Uint8Array): Promise<void> {
    await this.#writer.flush();
    await this.#store.write([{ type: 'del', key: blockRowKey(id) }], { sync: false });
  }

  /** Finds where in which files the blocks are, after all of them are known. `sorted` is what checkNamespace has sorted. */
  async findRanges(rows: RowSource, sorted: Scratch): Promise<void> {
    for await (const { id } of this.blocks()) {
      const hex = toHex(id);
      for await (const { ino, chunk } of usesOf(sorted, id)) {
        const row = await rows.get(chunkKey(ino, chunk));
        if (row === undefined) continue;
        for (const extent of CHUNK.decode(row).extents) {
          if (toHex(extent.blockId) !== hex) continue;
          const record: RangeRecord = { length: extent.length, id: hex };
          await this.#writer.put(scratchKey(RANGE, [ino, extent.offset]), encode(record));
        }
      }
    }
    await this.#writer.flush();
  }

  /** In the order of inode numbers. A file's ranges are in memory together, which its damaged blocks bound. */
  async *files(sorted: Scratch): AsyncIterableIterator<DamagedFile> {
    let ino = -1;
    let ranges: DamagedRange[] = [];
    for await (const [key, value] of this.#store.scan(tagRange(RANGE))) {
      const owner = readU64(key, 1);
      if (owner !== ino && ranges.length > 0) yield { ino, path: await pathOf(sorted, ino), ranges };
      if (owner !== ino) ranges = [];
      ino = owner;
      const { length, id } = decode(value) as RangeRecord;
      const block = await this.#store.get(blockRowKey(Buffer.from(id, 'hex')));
      if (block === undefined) continue;
      const { verdict, copies } = decode(block) as BlockRecord;
      ranges.push({ offset: readU64(key, 9), length, block: id, verdict, copies });
    }
    if (ranges.length > 0) yield { ino, path: await pathOf(sorted, ino), ranges };
  }
}

async function* usesOf(
  sorted: Scratch,
  id: Uint8Array,
): AsyncIterableIterator<{ ino: number; chunk: number }> {
  const range = { gte: useKey(id, 0), lt: useKey(id, Number.MAX_SAFE_INTEGER) };
  for await (const [key] of sorted.scan(range))
    yield { ino: readU64(key, 1 + ID_BYTES), chunk: readU32(key, 1 + ID_BYTES + 8) };
}

function useKey(id: Uint8Array, ino: number): Uint8Array {
  const key = new Uint8Array(1 + ID_BYTES + 8);
  key[0] = TAG.blockUse;
  key.set(id, 1);
  key.set(scratchKey(0, [ino]).subarray(1), 1 + ID_BYTES);
  return key;
}

function blockRowKey(id: Uint8Array): Uint8Array {
  return scratchKey(BLOCK, [], id);
}

function encode(record: BlockRecord | RangeRecord): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(record));
}

function decode(bytes: Uint8Array): unknown {
  return JSON.parse(new TextDecoder().decode(bytes));
}
