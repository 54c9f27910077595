import type { BlockId } from '../../base/ids.ts';
import type { Logger } from '../../ports/logger.ts';
import type { BlockIndex, IndexEntry } from './block-index.ts';
import type { SegmentFiles } from './files.ts';
import { decodeSegmentHeader, SEGMENT_HEADER_BYTES, sameStore } from './format.ts';
import type { SegmentUsage } from './segment-usage.ts';
import type { SegmentWriter } from './segment-writer.ts';

export interface InspectionComponents {
  readonly files: SegmentFiles;
  readonly index: BlockIndex;
  readonly writer: SegmentWriter;
  readonly usage: SegmentUsage;
  readonly logger: Logger;
  readonly store: InspectedStore;
}

/** What an inspection has the store do. */
export interface InspectedStore {
  /** Writes the block, or only its touch, again, if the entry is still the same. False: its content is not good. */
  evacuate(id: BlockId, entry: IndexEntry, what: 'block' | 'touch'): Promise<boolean>;
  /** Makes the index durable. Resolves with the segment before which no start looks for records. */
  checkpoint(): Promise<number>;
  /** Resolves when nobody reads the segment. */
  unread(segment: number): Promise<void>;
}

/** As StoreInspection has them. */
export interface LostBlocks {
  readonly lost: readonly BlockId[];
  readonly more: boolean;
}

/** `missing`: there is no file. The others are set aside when nothing good is left in them. */
type Damage = 'missing' | 'header' | 'short' | 'unreadable';

/**
 * Finds segments that are damaged as files: gone, cut off, or without a header that says whose they are. Their good records
 * are written again at the end of the store, and the file is set aside: whatever was wrong with it may still be going on. Records
 * that are damaged by themselves are not looked for here; reading every block finds them.
 */
export class Inspection {
  readonly #c: InspectionComponents;
  readonly #storeId: Uint8Array;
  /** To be set aside: compaction must not delete them as empty, once they are. */
  readonly #known: Set<number>;
  readonly #told = new Set<number>();

  constructor(
    components: InspectionComponents,
    options: {
      readonly storeId: Uint8Array;
      /** Known from the start: compaction could be faster than the first inspection. */
      readonly damaged: readonly number[];
    },
  ) {
    this.#c = components;
    this.#storeId = options.storeId;
    this.#known = new Set(options.damaged);
  }

  isDamaged(segment: number): boolean {
    return this.#known.has(segment);
  }

  /** One at a time. Throws what the disk says. */
  async run(limit: number): Promise<LostBlocks> {
    const { writer, logger } = this.#c;
    const damaged = await this.#damaged();
    if (damaged.size === 0) return { lost: [], more: false };
    for (const [segment, damage] of damaged) {
      if (!this.#told.has(segment))
        logger.error({ segment, damage }, 'a segment is damaged: what is good in it is written again');
      this.#told.add(segment);
      this.#known.add(segment);
    }
    const { active } = writer;
    // Without a segment that is written to, no checkpoint would lie behind the last one.
    if (active === undefined || damaged.has(active)) await writer.seal();
    const { lost, more } = await this.#evacuate(damaged, limit);
    if (!more) await this.#setAside(damaged);
    return { lost, more };
  }

  async #damaged(): Promise<Map<number, Damage>> {
    const { writer, usage } = this.#c;
    const damaged = new Map<number, Damage>();
    const wanted = new Map([...usage.wanted()].map(({ segment, end }) => [segment, end]));
    for (const segment of wanted.keys()) if (!writer.sizes.has(segment)) damaged.set(segment, 'missing');
    for (const segment of [...writer.sizes.keys()]) {
      // One that is known to be damaged may be empty by now.
      const end = wanted.get(segment) ?? (this.#known.has(segment) ? 0 : undefined);
      const damage = await this.#damageOf(segment, end);
      if (damage !== undefined) damaged.set(segment, damage);
    }
    return damaged;
  }

  /** `end`: where the last live record ends; undefined: there is none, and the file's state is nobody's concern. */
  async #damageOf(segment: number, end: number | undefined): Promise<Damage | undefined> {
    if (end === undefined) return undefined;
    try {
      const file = await this.#c.files.open(segment, 'read');
      try {
        if ((await file.size()) < end) return 'short';
        const bytes = new Uint8Array(SEGMENT_HEADER_BYTES);
        const length = await file.read(bytes, 0);
        const header = decodeSegmentHeader(bytes.subarray(0, length));
        const own = header !== undefined && header.segment === segment;
        return own && sameStore(header.storeId, this.#storeId) ? undefined : 'header';
      } finally {
        await file.close();
      }
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') return 'missing';
      if (code === 'EMFILE' || code === 'ENFILE' || code === 'ENOMEM') throw error;
      this.#c.logger.error({ segment, error }, 'a segment cannot be read');
      return 'unreadable';
    }
  }

  async #evacuate(damaged: ReadonlyMap<number, Damage>, limit: number): Promise<LostBlocks> {
    const lost: BlockId[] = [];
    for await (const entry of this.#c.index.entries()) {
      const what = damaged.has(entry.segment)
        ? 'block'
        : damaged.has(entry.touchSegment)
          ? 'touch'
          : undefined;
      if (what === undefined) continue;
      if (lost.length >= limit) return { lost, more: true };
      if (!(await this.#c.store.evacuate(entry.id, entry, what))) lost.push(entry.id);
    }
    return { lost, more: false };
  }

  async #setAside(damaged: ReadonlyMap<number, Damage>): Promise<void> {
    const { files, writer, store, logger } = this.#c;
    const replayFrom = await store.checkpoint();
    for (const [segment, damage] of damaged) {
      // Something is still being written to it, or a start would look for records in it: the next inspection is in time.
      if (writer.inUse(segment) || (damage !== 'missing' && segment >= replayFrom)) continue;
      await store.unread(segment);
      if (damage !== 'missing') {
        await files.quarantine(segment);
        logger.error({ segment, damage }, 'a damaged segment was set aside');
        this.#known.delete(segment);
      }
      if (writer.sizes.has(segment)) writer.removed(segment);
    }
  }
}
