import {
  FINDINGS_TOLD_MAX,
  FSCK_PAGE_BLOCKS,
  FSCK_PAGE_BYTES,
  KNOWN_BLOCKS_PER_REQUEST_MAX,
} from '../base/limits.ts';
import { checkNamespace, type NamespaceSums } from '../core/namespace/check/check-namespace.ts';
import type { Finding } from '../core/namespace/check/finding.ts';
import { type Scratch, TAG, tagRange } from '../core/namespace/check/scratch.ts';
import { fold, taggedRows } from '../core/namespace/check/streams.ts';
import { readU32 } from '../core/namespace/keys.ts';
import type { RowSource } from '../core/namespace/types.ts';
import type { BlockFinding, Census, Question, ReferencedBlock } from './census.ts';
import { DamageBook, type DamagedBlock, type Verdict } from './damage.ts';

export interface FsckComponents {
  /** The metadata as of one index. */
  readonly rows: RowSource;
  /** Two empty stores. */
  readonly sorted: Scratch;
  readonly damage: Scratch;
  readonly census: Census;
  /** Which of these blocks a file refers to now. */
  readonly stillKnown: (ids: readonly Uint8Array[]) => Promise<readonly boolean[]>;
  readonly onProgress: (progress: FsckProgress) => void;
}

export interface FsckOptions {
  readonly replicas: number;
  /** Read and hash every copy, instead of asking what is there. */
  readonly verify: boolean;
  readonly repair: boolean;
}

export interface FsckProgress {
  readonly phase: 'namespace' | 'blocks' | 'repair' | 'files';
  readonly done: number;
  readonly total: number;
  readonly bytes: number;
}

export interface NodeSums {
  good: number;
  missing: number;
  corrupt: number;
  unreachable: number;
}

export interface FsckSums {
  /** Referenced blocks that were asked for, and their bytes. */
  blocks: number;
  bytes: number;
  /** With a good copy on R nodes from the start. */
  good: number;
  repaired: number;
  degraded: number;
  unavailable: number;
  lost: number;
  /** Looked damaged, but the last reference went meanwhile. */
  unreferenced: number;
}

export interface FsckResult {
  readonly namespace: NamespaceSums;
  readonly findingCount: number;
  readonly findings: readonly Finding[];
  readonly sums: FsckSums;
  /** What each node had before anything was repaired, by address. */
  readonly nodes: ReadonlyMap<string, NodeSums>;
  /** The most nodes that any block has; fewer than R: the ring is too small. */
  readonly ownersMax: number;
  readonly book: DamageBook;
}

const ID_BYTES = 32;

/** Checks the metadata and every copy of every block that it refers to. Memory does not grow with their number. */
export class Fsck {
  readonly #c: FsckComponents;
  readonly #options: FsckOptions;
  readonly #book: DamageBook;
  readonly #nodes = new Map<string, NodeSums>();
  readonly #sums: FsckSums = {
    blocks: 0,
    bytes: 0,
    good: 0,
    repaired: 0,
    degraded: 0,
    unavailable: 0,
    lost: 0,
    unreferenced: 0,
  };
  #damaged = 0;
  #ownersMax = 0;

  constructor(components: FsckComponents, options: FsckOptions) {
    this.#c = components;
    this.#options = options;
    this.#book = new DamageBook(components.damage);
  }

  /** Throws when the ring or the metadata cluster cannot be asked at all. */
  async run(): Promise<FsckResult> {
    const { rows, sorted, onProgress } = this.#c;
    onProgress({ phase: 'namespace', done: 0, total: 0, bytes: 0 });
    const findings: Finding[] = [];
    let findingCount = 0;
    const namespace = await checkNamespace(rows, sorted, (finding) => {
      if (findingCount++ < FINDINGS_TOLD_MAX) findings.push(finding);
    });
    for await (const page of pages(referenced(sorted), this.#options.verify)) {
      await this.#checkPage(page);
      const { blocks: done, bytes } = this.#sums;
      onProgress({ phase: 'blocks', done, total: namespace.blocks, bytes });
    }
    let done = 0;
    for await (const page of pages(this.#book.blocks(), true)) {
      await this.#settlePage(page as DamagedBlock[]);
      done += page.length;
      onProgress({ phase: 'repair', done, total: this.#damaged, bytes: 0 });
    }
    onProgress({ phase: 'files', done: 0, total: 0, bytes: 0 });
    await this.#book.findRanges(rows, sorted);
    return {
      namespace,
      findingCount,
      findings,
      sums: this.#sums,
      nodes: this.#nodes,
      ownersMax: this.#ownersMax,
      book: this.#book,
    };
  }

  async #checkPage(page: readonly ReferencedBlock[]): Promise<void> {
    const { census } = this.#c;
    const question: Question = this.#options.verify ? 'verify' : 'presence';
    for (const finding of await census.take(page, question)) {
      this.#sums.blocks++;
      this.#sums.bytes += finding.length;
      this.#count(finding);
      if (this.#verdict(finding) === undefined) {
        this.#sums.good++;
        continue;
      }
      this.#damaged++;
      await this.#book.put({ ...finding, verdict: 'degraded' });
    }
  }

  /** A second look at damaged blocks, and their repair: some were being copied or deleted at the first look, or had moved. */
  async #settlePage(page: readonly DamagedBlock[]): Promise<void> {
    const { verify, repair } = this.#options;
    const blocks = await this.#referencedNow(page);
    this.#c.census.forget(blocks);
    const before = await this.#look(blocks, verify ? 'verify' : 'presence');
    const after = repair ? await this.#look(blocks, 'heal') : before;
    for (const [i, block] of blocks.entries()) {
      if (this.#verdict(before[i]!) === undefined) {
        // The ring itself has mended it between the two looks.
        this.#sums.good++;
        await this.#book.drop(block.id);
        continue;
      }
      const verdict = this.#verdict(after[i]!) ?? 'repaired';
      this.#sums[verdict]++;
      // Which copies were bad is told as it was before they were repaired.
      await this.#book.put({ ...block, copies: before[i]!.copies, verdict });
    }
  }

  async #referencedNow(page: readonly DamagedBlock[]): Promise<DamagedBlock[]> {
    const blocks: DamagedBlock[] = [];
    for (let i = 0; i < page.length; i += KNOWN_BLOCKS_PER_REQUEST_MAX) {
      const part = page.slice(i, i + KNOWN_BLOCKS_PER_REQUEST_MAX);
      const known = await this.#c.stillKnown(part.map(({ id }) => id));
      for (const [k, block] of part.entries()) {
        if (known[k] === true) blocks.push(block);
        else {
          this.#sums.unreferenced++;
          await this.#book.drop(block.id);
        }
      }
    }
    return blocks;
  }

  async #look(blocks: readonly ReferencedBlock[], question: Question): Promise<BlockFinding[]> {
    const { census } = this.#c;
    const found = await census.take(blocks, question);
    const none = found.filter((finding) => goodCopies(finding) === 0);
    if (none.length === 0) return found;
    // Those that are no owners are not asked to fetch anything.
    const elsewhere = await census.elsewhere(none, question === 'presence' ? 'presence' : 'verify');
    const further = new Map(elsewhere.map((finding) => [finding.id, finding]));
    return found.map((finding) => further.get(finding.id) ?? finding);
  }

  /** Undefined: nothing is wrong with it. */
  #verdict(finding: BlockFinding): Exclude<Verdict, 'repaired'> | undefined {
    const owners = finding.copies.filter((copy) => copy.owner);
    this.#ownersMax = Math.max(this.#ownersMax, owners.length);
    const good = owners.filter((copy) => copy.state === 'good').length;
    // A ring of fewer nodes than copies is one thing to be told, not one for each block.
    const wanted = Math.min(this.#options.replicas, owners.length);
    if (good >= wanted && wanted > 0) return undefined;
    if (goodCopies(finding) > 0) return 'degraded';
    return finding.copies.some((copy) => copy.state === 'unreachable') ? 'unavailable' : 'lost';
  }

  #count({ copies }: BlockFinding): void {
    for (const { address, state } of copies) {
      let sums = this.#nodes.get(address);
      if (sums === undefined) {
        sums = { good: 0, missing: 0, corrupt: 0, unreachable: 0 };
        this.#nodes.set(address, sums);
      }
      sums[state]++;
    }
  }
}

function goodCopies(finding: BlockFinding): number {
  return finding.copies.filter((copy) => copy.state === 'good').length;
}

/** Every block that a chunk row refers to, in order: what checkNamespace has sorted. */
async function* referenced(sorted: Scratch): AsyncIterableIterator<ReferencedBlock> {
  const uses = fold(
    taggedRows(sorted, tagRange(TAG.blockUse)),
    ID_BYTES,
    () => ({ length: 0 }),
    (sum, { value }) => {
      sum.length = Math.max(sum.length, readU32(value, 8));
    },
  );
  for await (const { key, value } of uses) yield { id: key.slice(), length: value.length };
}

async function* pages<T extends ReferencedBlock>(
  blocks: AsyncIterable<T>,
  read: boolean,
): AsyncIterableIterator<T[]> {
  let page: T[] = [];
  let bytes = 0;
  for await (const block of blocks) {
    page.push(block);
    bytes += block.length;
    if (page.length < FSCK_PAGE_BLOCKS && (!read || bytes < FSCK_PAGE_BYTES)) continue;
    yield page;
    page = [];
    bytes = 0;
  }
  if (page.length > 0) yield page;
}
