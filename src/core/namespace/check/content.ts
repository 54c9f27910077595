import { toHex } from '../../../base/bytes.ts';
import { CHUNK_SIZE_BYTES, EXTENTS_PER_CHUNK_MAX } from '../../../base/limits.ts';
import type { Chunk, Extent } from '../../../gen/ringfs/v1/namespace.ts';
import { withBit } from '../bitmap.ts';
import { BLOCK_ID_BYTES } from '../blocks.ts';
import { endOf } from '../extents.ts';
import { readU32, readU64, TABLE } from '../keys.ts';
import { BITMAP, BLOCK, CHUNK, CONDEMNED } from '../rows.ts';
import type { RowSource } from '../types.ts';
import type { OnFinding } from './finding.ts';
import { type Scratch, type ScratchWriter, scratchKey, TAG, tagRange, u32s } from './scratch.ts';
import { fold, join, type Keyed, rowsOf, taggedRows } from './streams.ts';

/** Chunk rows, their index, and the blocks that they refer to. */

/** What the chunks of one inode come to. */
export interface ContentSum {
  allocatedBytes: number;
  /** End of the last extent. */
  end: number;
}

const CHUNKS_PER_PAGE = 1024;
const INO_BYTES = 8;

/**
 * The content of each inode that has any. While it streams, what the block rows and the index rows must say is put into scratch.
 */
export async function* contentByInode(
  source: RowSource,
  writer: ScratchWriter,
  onFinding: OnFinding,
): AsyncIterableIterator<Keyed<ContentSum>> {
  const index = new IndexBuilder(writer);
  const checked = async function* (): AsyncIterableIterator<Keyed<Chunk>> {
    for await (const row of rowsOf(source, TABLE.chunk, CHUNK, onFinding)) {
      const ino = readU64(row.key, 0);
      const chunk = readU32(row.key, INO_BYTES);
      checkChunk(ino, chunk, row.value, onFinding);
      await noteBlocks(ino, chunk, row.value.extents, writer);
      await index.add(ino, chunk);
      yield row;
    }
    await index.finish();
  };
  yield* fold(
    checked(),
    INO_BYTES,
    (): ContentSum => ({ allocatedBytes: 0, end: 0 }),
    (sum, { value }) => {
      for (const extent of value.extents) {
        sum.allocatedBytes += extent.length;
        sum.end = Math.max(sum.end, endOf(extent));
      }
    },
  );
}

function checkChunk(ino: number, index: number, chunk: Chunk, onFinding: OnFinding): void {
  const report = (detail: string): void =>
    onFinding({ check: 'bad-chunk', ino, detail: `chunk ${index} ${detail}` });
  if (chunk.ino !== ino || chunk.index !== index)
    report(`says that it is chunk ${chunk.index} of ${chunk.ino}`);
  if (chunk.extents.length === 0) report('has no extents');
  if (chunk.extents.length > EXTENTS_PER_CHUNK_MAX) report(`has ${chunk.extents.length} extents`);
  let end = index * CHUNK_SIZE_BYTES;
  for (const extent of chunk.extents) {
    if (extent.offset < end) report(`has extents that overlap or are out of order at ${extent.offset}`);
    end = endOf(extent);
    if (extent.length < 1 || end > (index + 1) * CHUNK_SIZE_BYTES)
      report(`has an extent at ${extent.offset} that leaves it`);
    const wrong = extentProblem(extent);
    if (wrong !== undefined) report(`has an extent at ${extent.offset} ${wrong}`);
  }
}

function extentProblem(extent: Extent): string | undefined {
  if (extent.blockId.length === 0) {
    return extent.inline.length === extent.length ? undefined : 'whose inline bytes are not as long as it';
  }
  if (extent.blockId.length !== BLOCK_ID_BYTES) return 'whose block id is no SHA-256';
  return extent.blockOffset + extent.length > extent.blockLength ? 'beyond the end of its block' : undefined;
}

async function noteBlocks(
  ino: number,
  chunk: number,
  extents: readonly Extent[],
  writer: ScratchWriter,
): Promise<void> {
  const uses = new Map<string, { id: Uint8Array; refs: number; shortest: number; longest: number }>();
  for (const { blockId, blockLength } of extents) {
    if (blockId.length !== BLOCK_ID_BYTES) continue;
    const id = toHex(blockId);
    const use = uses.get(id) ?? { id: blockId, refs: 0, shortest: blockLength, longest: blockLength };
    use.refs++;
    use.shortest = Math.min(use.shortest, blockLength);
    use.longest = Math.max(use.longest, blockLength);
    uses.set(id, use);
  }
  for (const { id, refs, shortest, longest } of uses.values()) {
    const place = scratchKey(0, [ino], u32s(chunk)).subarray(1);
    const key = new Uint8Array(1 + BLOCK_ID_BYTES + place.length);
    key[0] = TAG.blockUse;
    key.set(id, 1);
    key.set(place, 1 + BLOCK_ID_BYTES);
    await writer.put(key, u32s(refs, shortest, longest));
  }
}

/** The index rows that the chunks of a file call for (see ../chunk-index.ts). */
class IndexBuilder {
  readonly #writer: ScratchWriter;
  #ino = -1;
  #page = -1;
  #bits = new Uint8Array(0) as Uint8Array;
  #pages = new Uint8Array(0) as Uint8Array;

  constructor(writer: ScratchWriter) {
    this.#writer = writer;
  }

  /** Chunks come in order. */
  async add(ino: number, chunk: number): Promise<void> {
    const page = Math.floor(chunk / CHUNKS_PER_PAGE);
    if (ino !== this.#ino || page !== this.#page) await this.#endPage();
    if (ino !== this.#ino) await this.#endInode();
    this.#ino = ino;
    this.#page = page;
    if (chunk === 0) return;
    this.#bits = withBit(this.#bits, chunk % CHUNKS_PER_PAGE);
    if (page > 0) this.#pages = withBit(this.#pages, page);
  }

  async finish(): Promise<void> {
    await this.#endPage();
    await this.#endInode();
  }

  async #endPage(): Promise<void> {
    if (this.#bits.length === 0) return;
    await this.#writer.put(scratchKey(TAG.chunkPage, [this.#ino], u32s(this.#page)), this.#bits);
    this.#bits = new Uint8Array(0);
  }

  async #endInode(): Promise<void> {
    if (this.#pages.length === 0) return;
    await this.#writer.put(scratchKey(TAG.chunkPages, [this.#ino]), this.#pages);
    this.#pages = new Uint8Array(0);
  }
}

/** After contentByInode has streamed to its end. */
export async function checkChunkIndex(
  source: RowSource,
  scratch: Scratch,
  onFinding: OnFinding,
): Promise<void> {
  const tables = [
    { table: TABLE.chunkPage, tag: TAG.chunkPage },
    { table: TABLE.chunkPages, tag: TAG.chunkPages },
  ];
  for (const { table, tag } of tables) {
    const rows = join({
      stored: rowsOf(source, table, BITMAP, onFinding),
      wanted: taggedRows(scratch, tagRange(tag)),
    });
    for await (const { key, stored, wanted } of rows) {
      if (
        toHex(stored?.bits ?? new Uint8Array(0)) === toHex(wanted ?? new Uint8Array(0)) &&
        stored !== undefined
      )
        continue;
      const ino = readU64(key, 0);
      const what =
        stored === undefined ? 'lacks a row' : wanted === undefined ? 'has a row too many' : 'is not right';
      onFinding({
        check: 'chunk-index',
        ino,
        detail: `the index of the chunks of the file ${what} (table ${table.toString(16)})`,
      });
    }
  }
}

interface BlockUse {
  refs: number;
  shortest: number;
  longest: number;
}

/** Reference counts and condemned blocks. After contentByInode. Returns the number of blocks that are referred to. */
export async function checkBlocks(
  source: RowSource,
  scratch: Scratch,
  writer: ScratchWriter,
  onFinding: OnFinding,
): Promise<number> {
  const uses = fold(
    taggedRows(scratch, tagRange(TAG.blockUse)),
    BLOCK_ID_BYTES,
    (): BlockUse => ({ refs: 0, shortest: Number.MAX_SAFE_INTEGER, longest: 0 }),
    (sum, { value }) => {
      sum.refs += readU32(value, 0);
      sum.shortest = Math.min(sum.shortest, readU32(value, 4));
      sum.longest = Math.max(sum.longest, readU32(value, 8));
    },
  );
  let live = 0;
  for await (const { key, row, use } of join({
    row: rowsOf(source, TABLE.block, BLOCK, onFinding),
    use: uses,
  })) {
    const report = (check: string, detail: string): void => onFinding({ check, block: toHex(key), detail });
    const refs = use?.refs ?? 0;
    if (use !== undefined) live++;
    if (row === undefined) {
      report('block-unknown', `${refs} extents name the block, which has no row`);
      continue;
    }
    if (row.refs !== refs)
      report('block-references', `${refs} extents name the block, its row says ${row.refs}`);
    if (use !== undefined && (use.shortest !== row.length || use.longest !== row.length)) {
      report(
        'block-length',
        `extents give it ${use.shortest} to ${use.longest} bytes, its row ${row.length}`,
      );
    }
    if ((row.refs === 0) !== (row.condemnedAt !== 0)) {
      report('block-condemned', `${row.refs} references, condemned at ${row.condemnedAt}`);
    }
    if (row.condemnedAt !== 0)
      await writer.put(scratchKey(TAG.condemned, [row.condemnedAt], key), u32s(row.length));
  }
  await writer.flush();
  await checkCondemned(source, scratch, onFinding);
  return live;
}

async function checkCondemned(source: RowSource, scratch: Scratch, onFinding: OnFinding): Promise<void> {
  const rows = join({
    stored: rowsOf(source, TABLE.condemned, CONDEMNED, onFinding),
    wanted: taggedRows(scratch, tagRange(TAG.condemned)),
  });
  for await (const { key, stored, wanted } of rows) {
    if (stored !== undefined && wanted !== undefined && stored.length === readU32(wanted, 0)) continue;
    const at = readU64(key, 0);
    const what =
      stored === undefined
        ? 'is not in the list of condemned blocks'
        : wanted === undefined
          ? 'is in the list of condemned blocks, its row says otherwise'
          : `is ${stored.length} bytes long in the list of condemned blocks, ${readU32(wanted, 0)} in its row`;
    onFinding({
      check: 'condemned-list',
      block: toHex(key.subarray(INO_BYTES)),
      detail: `condemned at ${at}, it ${what}`,
    });
  }
}
