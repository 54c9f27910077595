/**
 * How long a block store takes to open: node dist/test/bench/restart.js [blocks] [KiB per block] [folder].
 *
 * The segments are written with the headers that the store itself would write, and their content is a hole in a sparse file: opening
 * reads headers, not content, and the files have the size and the records of a full store. Default: 25,600 blocks of 4 MiB, 100 GiB.
 * The last 800 MiB have real content, since that is what a rebuild reads and hashes. `cold` drops the page cache first, which takes
 * root. After a crash means: 60 MiB behind the last checkpoint, which was not told to the index, and a torn tail.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cp, mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { BlockId } from '../../src/base/ids.ts';
import { seededRandom } from '../../src/base/random.ts';
import {
  encodeRecordHeader,
  encodeSegmentHeader,
  RECORD_PUT,
  recordSize,
  SEGMENT_HEADER_BYTES,
} from '../../src/io/segments/format.ts';
import { openBlockStore } from '../../src/io/segments/open-block-store.ts';
import type { BlockStore } from '../../src/ports/block-store.ts';
import { RecordingLogger } from '../support/recording-logger.ts';
import { systemTimers } from '../support/system-timers.ts';

const MIB = 1024 * 1024;
const count = Number(process.argv[2] ?? 25_600);
const blockBytes = Number(process.argv[3] ?? 4096) * 1024;
const parent = process.argv[4] ?? tmpdir();
const SEGMENT_BYTES = 256 * MIB;
const REAL_BYTES = 800 * MIB;
const IDENTITY = { clusterId: 'bench', nodeId: 'bench' };

/** Fills `folder` with segments. */
async function makeSegments(folder: string): Promise<number> {
  const storeId = seededRandom(1).bytes(16);
  const size = recordSize(RECORD_PUT, blockBytes);
  const perSegment = Math.floor((SEGMENT_BYTES - SEGMENT_HEADER_BYTES) / size);
  const content = Buffer.alloc(blockBytes);
  let made = 0;
  for (let segment = 1; made < count; segment++) {
    const file = await open(path.join(folder, `seg-${String(segment).padStart(8, '0')}.dat`), 'wx');
    await file.write(encodeSegmentHeader({ segment, storeId, ...IDENTITY }), 0, undefined, 0);
    for (let i = 0; i < perSegment && made < count; i++, made++) {
      const offset = SEGMENT_HEADER_BYTES + i * size;
      const real = (count - made) * size <= REAL_BYTES;
      content.writeUInt32LE(made, 0);
      const named = real ? content : String(made);
      const id = createHash('sha256').update(named).digest('hex') as BlockId;
      const header = { type: RECORD_PUT, id, length: blockBytes, uploadedAt: made } as const;
      await file.write(encodeRecordHeader(storeId, { segment, offset }, header), 0, undefined, offset);
      if (real) await file.write(content, 0, undefined, offset + 64);
      else await file.truncate(offset + size);
    }
    await file.close();
  }
  return made;
}

async function openStore(folder: string): Promise<{ store: BlockStore; logger: RecordingLogger }> {
  const logger = new RecordingLogger();
  const onIndexDamaged = (reason: string): void => {
    throw new Error(reason);
  };
  const timers = systemTimers();
  const store = await openBlockStore(
    folder,
    { timers, random: seededRandom(2), logger, onIndexDamaged },
    IDENTITY,
  );
  return { store, logger };
}

function dropCaches(): boolean {
  return spawnSync('sh', ['-c', 'sync; echo 3 > /proc/sys/vm/drop_caches']).status === 0;
}

/** Blocks of the store, opened and closed. */
async function timed(what: string, folder: string): Promise<void> {
  for (const cold of [true, false]) {
    if (cold && !dropCaches()) continue;
    const start = performance.now();
    const { store } = await openStore(folder);
    const ms = performance.now() - start;
    const { blocks } = await store.stats();
    await store.close();
    process.stdout.write(
      `${what}, ${cold ? 'cold' : 'warm'}: ${(ms / 1000).toFixed(2)} s, ${blocks} blocks\n`,
    );
    // The next opening of the same would not have to do it again.
    if (what !== 'index intact') return;
  }
}

const folder = await mkdtemp(path.join(parent, 'bench-restart-'));
try {
  const blocks = path.join(folder, 'block');
  await mkdir(blocks);
  const gib = ((count * blockBytes) / 1024 / MIB).toFixed(0);
  process.stdout.write(
    `${await makeSegments(blocks)} blocks of ${blockBytes / 1024} KiB, ${gib} GiB, sparse\n`,
  );
  await timed('no index, built from the segments', blocks);
  await timed('index intact', blocks);

  // The index as it was before the last puts, as after a power failure.
  const before = path.join(folder, 'index-before');
  await cp(path.join(blocks, 'index'), before, { recursive: true });
  const { store } = await openStore(blocks);
  const random = seededRandom(3);
  for (let i = 0; i < 60; i++) {
    const data = random.bytes(MIB);
    await store.put(createHash('sha256').update(data).digest('hex') as BlockId, data, i);
  }
  await store.close();
  await rm(path.join(blocks, 'index'), { recursive: true });
  await cp(before, path.join(blocks, 'index'), { recursive: true });
  const last = Math.ceil(
    count / Math.floor((SEGMENT_BYTES - SEGMENT_HEADER_BYTES) / recordSize(RECORD_PUT, blockBytes)),
  );
  await writeFile(path.join(blocks, `seg-${String(last + 1).padStart(8, '0')}.dat`), new Uint8Array(5000), {
    flag: 'a',
  });
  await timed('after a crash', blocks);
} finally {
  await rm(folder, { recursive: true, force: true });
}
