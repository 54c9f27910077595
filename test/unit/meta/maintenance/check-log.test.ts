import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ServerId } from '../../../../src/base/ids.ts';
import { EntryType, type RaftEntry } from '../../../../src/gen/ringfs/v1/raft.ts';
import { checkLog, type LogSummary } from '../../../../src/meta/maintenance/check-log.ts';
import {
  encodeEntry,
  encodeHardState,
  encodeIdentity,
  encodeSnapshotMeta,
  entryKey,
  HARD_STATE_KEY,
  IDENTITY_KEY,
  SNAPSHOT_META_KEY,
  seal,
} from '../../../../src/meta/raft/log-codec.ts';
import type { LogMark } from '../../../../src/meta/raft/state-store.ts';
import { MemoryKvStore } from '../../../support/memory-kv-store.ts';
import { confState } from '../../../support/raft-cluster.ts';
import { openSessionCommand } from '../../../support/replica-cluster.ts';

const CONF = confState(['s1']);

function put(kv: MemoryKvStore, key: Uint8Array, content: Uint8Array): void {
  kv.writeSync([{ type: 'put', key, value: seal(key, content) }]);
}

function putEntry(kv: MemoryKvStore, index: number, change: Partial<RaftEntry> = {}): void {
  const entry = {
    index,
    term: index < 15 ? 2 : 3,
    type: EntryType.NORMAL,
    data: openSessionCommand(index),
    ...change,
  };
  put(kv, entryKey(index), encodeEntry(entry));
}

/** Entries 11 to 20 behind a compacted start, of terms 2 and 3. */
function goodLog(): MemoryKvStore {
  const kv = new MemoryKvStore();
  put(kv, IDENTITY_KEY, encodeIdentity({ clusterId: 'c', serverId: 's1' as ServerId, formatVersion: 1 }));
  put(kv, SNAPSHOT_META_KEY, encodeSnapshotMeta({ index: 10, term: 2, confState: CONF }));
  put(kv, HARD_STATE_KEY, encodeHardState({ term: 3, votedFor: undefined, commit: 18 }));
  for (let index = 9; index <= 20; index++) putEntry(kv, index);
  return kv;
}

const applied = (index: number, term: number): LogMark => ({ index, term, confState: CONF });

async function findingsIn(
  kv: MemoryKvStore,
  mark: LogMark | undefined = applied(16, 3),
): Promise<{ found: string[]; log: LogSummary }> {
  const found: string[] = [];
  const log = await checkLog(kv, mark, ({ check, detail }) => found.push(`${check}: ${detail}`));
  return { found, log };
}

describe('a walk over the Raft log', () => {
  it('finds nothing in a good one, and says what it is', async () => {
    const { found, log } = await findingsIn(goodLog());
    assert.deepEqual(found, []);
    assert.deepEqual(
      [log.start, log.last, log.lastTerm, log.entries, log.hardState?.commit],
      [10, 20, 3, 10, 18],
    );
    for (const mark of [applied(10, 2), applied(20, 3)])
      assert.deepEqual((await findingsIn(goodLog(), mark)).found, []);
  });

  const cases: readonly (readonly [
    name: string,
    damage: (kv: MemoryKvStore) => void,
    ...wanted: RegExp[],
  ])[] = [
    ['a flipped bit', (kv) => flip(kv, entryKey(13)), /^log-entry: entry 13: checksum mismatch/],
    [
      'a gap',
      (kv) => kv.writeSync([12, 13].map((i) => ({ type: 'del', key: entryKey(i) }))),
      /^log-gap: entries 12 to 13 are missing/,
    ],
    [
      'an entry under another index',
      (kv) =>
        put(
          kv,
          entryKey(13),
          encodeEntry({ index: 14, term: 2, type: EntryType.NORMAL, data: new Uint8Array(0) }),
        ),
      /^log-entry: entry 13 says that it is entry 14/,
    ],
    [
      'a term that goes back',
      (kv) => putEntry(kv, 18, { term: 1 }),
      /^log-entry: entry 18 is of term 1, after 3/,
    ],
    [
      'a command that cannot be decoded',
      (kv) => putEntry(kv, 13, { data: Uint8Array.of(0xff) }),
      /^log-entry: the command of entry 13/,
    ],
    [
      'a change of membership that is none',
      (kv) => putEntry(kv, 13, { type: EntryType.CONF_CHANGE }),
      /^log-entry: entry 13 is no change/,
    ],
    [
      'an end that is missing',
      (kv) => kv.writeSync([17, 18, 19, 20].map((i) => ({ type: 'del', key: entryKey(i) }))),
      /^log-end: entry 18 was committed and the log ends at 16/,
    ],
    [
      'a term that went back',
      (kv) => put(kv, HARD_STATE_KEY, encodeHardState({ term: 2, votedFor: undefined, commit: 18 })),
      /^log-end: the term is 2/,
    ],
    ['a bad hard state', (kv) => flip(kv, HARD_STATE_KEY), /^log-row: the hard state of the log: checksum/],
    ['no identity', (kv) => kv.writeSync([{ type: 'del', key: IDENTITY_KEY }]), /^log-identity/],
    [
      'a newer format',
      (kv) =>
        put(
          kv,
          IDENTITY_KEY,
          encodeIdentity({ clusterId: 'c', serverId: 's1' as ServerId, formatVersion: 2 }),
        ),
      /^format-version: the log has format version 2/,
    ],
  ];
  for (const [name, damage, ...wanted] of cases) {
    it(`finds ${name}`, async () => {
      const kv = goodLog();
      damage(kv);
      const { found } = await findingsIn(kv);
      assert.equal(found.length, wanted.length, found.join('\n'));
      for (const [i, pattern] of wanted.entries()) assert.match(found[i]!, pattern);
    });
  }

  it('finds a state that is not of this log', async () => {
    assert.match(
      (await findingsIn(goodLog(), applied(9, 2))).found.join(),
      /the state ends at 9 and the log starts at 10/,
    );
    assert.match(
      (await findingsIn(goodLog(), applied(21, 3))).found.join(),
      /applied entry 21 and the log ends at 20/,
    );
    assert.match(
      (await findingsIn(goodLog(), applied(16, 9))).found.join(),
      /entry 16 of term 9, the log has it of term 3/,
    );
  });
});

function flip(kv: MemoryKvStore, key: Uint8Array): void {
  const value = kv.getSync(key)!;
  value[value.length - 1]! ^= 1;
  kv.writeSync([{ type: 'put', key, value }]);
}
