import { compareBytes, toHex } from '../../../base/bytes.ts';
import { type KeyRange, tableRange } from '../keys.ts';
import type { RowCodec, RowSource } from '../types.ts';
import type { OnFinding } from './finding.ts';

/** Streams of rows in key order. What is compared with one another is joined while it streams, so that memory does not grow with
 * the number of rows. */

export interface Keyed<T> {
  readonly key: Uint8Array;
  readonly value: T;
}

type Scannable = Pick<RowSource, 'scan'>;

/** The rows of a table, decoded; `key` is what follows the table byte. One that cannot be decoded is a finding. */
export async function* rowsOf<T>(
  source: Scannable,
  table: number,
  codec: RowCodec<T>,
  onFinding: OnFinding,
): AsyncIterableIterator<Keyed<T>> {
  for await (const [key, bytes] of source.scan(tableRange(table))) {
    let value: T;
    try {
      value = codec.decode(bytes);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      onFinding({ check: 'unreadable-row', detail: `row ${toHex(key)} cannot be decoded: ${why}` });
      continue;
    }
    yield { key: key.subarray(1), value };
  }
}

/** Rows of scratch under one tag; `key` is what follows it. */
export async function* taggedRows(
  source: Scannable,
  range: KeyRange,
): AsyncIterableIterator<Keyed<Uint8Array>> {
  for await (const [key, value] of source.scan(range)) yield { key: key.subarray(1), value };
}

/** One row per run of rows that have the first `keyBytes` bytes of the key in common. */
export async function* fold<T, Sum>(
  rows: AsyncIterable<Keyed<T>>,
  keyBytes: number,
  begin: () => Sum,
  add: (sum: Sum, row: Keyed<T>) => void,
): AsyncIterableIterator<Keyed<Sum>> {
  let current: Keyed<Sum> | undefined;
  for await (const row of rows) {
    const key = row.key.subarray(0, keyBytes);
    if (current === undefined || compareBytes(current.key, key) !== 0) {
      if (current !== undefined) yield current;
      current = { key, value: begin() };
    }
    add(current.value, row);
  }
  if (current !== undefined) yield current;
}

type Streams = Readonly<Record<string, AsyncIterable<Keyed<unknown>>>>;
type ValueOf<S> = S extends AsyncIterable<Keyed<infer T>> ? T : never;
export type Joined<S extends Streams> = { readonly key: Uint8Array } & {
  readonly [Name in keyof S]: ValueOf<S[Name]> | undefined;
};

interface Cursor {
  readonly name: string;
  readonly iterator: AsyncIterator<Keyed<unknown>>;
  head: Keyed<unknown> | undefined;
}

/** Every key that is in any of the streams, in order, with what each of them has under it. A key is in a stream once. */
export async function* join<S extends Streams>(streams: S): AsyncIterableIterator<Joined<S>> {
  const cursors: Cursor[] = Object.entries(streams).map(([name, rows]) => ({
    name,
    iterator: rows[Symbol.asyncIterator](),
    head: undefined,
  }));
  try {
    for (const cursor of cursors) await advance(cursor);
    for (;;) {
      const least = leastKey(cursors);
      if (least === undefined) return;
      const out: Record<string, unknown> = { key: least };
      for (const cursor of cursors) {
        const { head } = cursor;
        if (head === undefined || compareBytes(head.key, least) !== 0) continue;
        out[cursor.name] = head.value;
        await advance(cursor);
      }
      yield out as Joined<S>;
    }
  } finally {
    for (const { iterator } of cursors) await iterator.return?.();
  }
}

function leastKey(cursors: readonly Cursor[]): Uint8Array | undefined {
  let least: Uint8Array | undefined;
  for (const { head } of cursors) {
    if (head !== undefined && (least === undefined || compareBytes(head.key, least) < 0)) least = head.key;
  }
  return least;
}

async function advance(cursor: Cursor): Promise<void> {
  const next = await cursor.iterator.next();
  cursor.head = next.done === true ? undefined : next.value;
}
