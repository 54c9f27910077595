import { assert } from '../../base/assert.ts';
import type { BlockId } from '../../base/ids.ts';
import type { BlockStoreError } from '../../ports/block-store.ts';
import type { Logger } from '../../ports/logger.ts';
import type { BlockIndex, IndexEntry } from './block-index.ts';
import { RECORD_DELETE, RECORD_TOUCH, type RecordType } from './format.ts';
import type { RecordEffect, SegmentWriter, WrittenRecord } from './segment-writer.ts';
import { storeError } from './store-error.ts';

/** What a record does to the index. */
export interface Change {
  readonly type: RecordType;
  readonly id: BlockId;
  readonly length: number;
  readonly uploadedAt: number;
  readonly before: IndexEntry | undefined;
}

export interface CommitterComponents {
  readonly index: BlockIndex;
  readonly writer: SegmentWriter;
  readonly logger: Logger;
}

export interface CommitterOptions {
  /** Called before the writer of the record is told. */
  readonly onCommitted: (change: Change, after: IndexEntry | undefined, effect: RecordEffect) => void;
}

interface Waiting {
  readonly record: WrittenRecord;
  readonly change: Change;
  resolve(): void;
  reject(error: BlockStoreError): void;
}

/** Makes records durable and brings them into the index, all those together that wait at a time. */
export class Committer {
  readonly #c: CommitterComponents;
  readonly #options: CommitterOptions;
  #waiting: Waiting[] = [];
  #committing: Promise<void> | undefined;

  constructor(components: CommitterComponents, options: CommitterOptions) {
    this.#c = components;
    this.#options = options;
  }

  /** The caller keeps other changes of the same block away. Durable and in the index when resolved. */
  async append(change: Change, data: Uint8Array | undefined): Promise<void> {
    const { writer } = this.#c;
    const record = await writer.append(change, data);
    try {
      await new Promise<void>((resolve, reject) => {
        this.#waiting.push({ record, change, resolve, reject });
        this.#committing ??= this.#commitAll();
      });
    } finally {
      writer.release(record, undefined);
    }
  }

  async #commitAll(): Promise<void> {
    // Not before the caller has noted that this runs.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      await this.#commit(batch);
    }
    // In the same turn: a record that came before it were cleared would wait for the next one.
    this.#committing = undefined;
  }

  /** One fdatasync per segment and one index write for everything that has been written by now. */
  /** Never rejects. */
  async #commit(batch: readonly Waiting[]): Promise<void> {
    const { index, writer, logger } = this.#c;
    const durable: Waiting[] = [];
    for (const segment of new Set(batch.map((waiting) => waiting.record.segment))) {
      const inSegment = batch.filter((waiting) => waiting.record.segment === segment);
      try {
        await writer.sync(segment);
        durable.push(...inSegment);
      } catch (error) {
        logger.error({ segment, error }, 'segment sync failed');
        for (const waiting of inSegment) waiting.reject(storeError(error));
      }
    }
    if (durable.length === 0) return;
    const changes = durable.map(({ change, record }) => ({
      id: change.id,
      entry: entryAfter(change, record),
    }));
    try {
      await index.apply(changes);
    } catch (error) {
      logger.error({ error }, 'block index write failed');
      for (const waiting of durable) waiting.reject(storeError(error));
      return;
    }
    durable.forEach(({ change, record, resolve }, i) => {
      const after = changes[i]!.entry;
      const blocks = (after === undefined ? 0 : 1) - (change.before === undefined ? 0 : 1);
      const effect = { blocks, bytes: blocks * change.length };
      this.#options.onCommitted(change, after, effect);
      writer.release(record, effect);
      resolve();
    });
  }
}

function entryAfter(change: Change, { segment, offset }: WrittenRecord): IndexEntry | undefined {
  const { type, length, uploadedAt, before } = change;
  if (type === RECORD_DELETE) return undefined;
  if (type !== RECORD_TOUCH) return { segment, offset, length, uploadedAt, touchSegment: 0 };
  assert(before !== undefined, 'a touched block is there');
  return { ...before, uploadedAt, touchSegment: segment };
}
