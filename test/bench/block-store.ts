/** MiB/s of the segment store alone: node dist/test/bench/block-store.js [folder] [block KiB] [total MiB] */
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromHex } from '../../src/base/bytes.ts';
import type { BlockId } from '../../src/base/ids.ts';
import { seededRandom } from '../../src/base/random.ts';
import { localSegmentFiles } from '../../src/io/segments/files.ts';
import { openSegmentStore } from '../../src/io/segments/segment-store.ts';
import { MapKvStore } from '../support/map-kv-store.ts';
import { RecordingLogger } from '../support/recording-logger.ts';
import { VirtualTimers } from '../support/virtual-timers.ts';

const parent = process.argv[2] ?? tmpdir();
const blockBytes = Number(process.argv[3] ?? 1024) * 1024;
const totalBytes = Number(process.argv[4] ?? 512) * 1024 * 1024;
const IN_FLIGHT = 8;

const directory = await mkdtemp(join(parent, 'bench-segments-'));
const count = Math.floor(totalBytes / blockBytes);
const data = seededRandom(1).bytes(blockBytes);
// Names without hashing: what is measured is the store.
const ids = Array.from(
  { length: count },
  (_, i) => createHash('sha256').update(String(i)).digest('hex') as BlockId,
);

async function parallel(work: (i: number) => Promise<void>): Promise<number> {
  let next = 0;
  const start = process.hrtime.bigint();
  const worker = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
  return Number(process.hrtime.bigint() - start) / 1e9;
}

function report(what: string, seconds: number): void {
  const rate = (count * blockBytes) / 1024 / 1024 / seconds;
  process.stdout.write(
    `${what.padEnd(6)} ${rate.toFixed(0).padStart(6)} MiB/s  ${(count / seconds).toFixed(0).padStart(7)} blocks/s\n`,
  );
}

try {
  const store = await openSegmentStore(
    {
      files: localSegmentFiles(directory),
      kv: new MapKvStore(),
      timers: new VirtualTimers(),
      random: seededRandom(2),
      logger: new RecordingLogger(),
    },
    { clusterId: 'bench', nodeId: 'bench' },
  );
  process.stdout.write(`${count} blocks of ${blockBytes / 1024} KiB, ${IN_FLIGHT} in flight\n`);
  report(
    'put',
    await parallel(async (i) => {
      await store.put(ids[i]!, data);
    }),
  );
  report(
    'get',
    await parallel(async (i) => {
      const got = await store.get(ids[i]!);
      if (got?.length !== blockBytes || fromHex(ids[i]!).length !== 32) throw new Error('wrong block');
    }),
  );
  await store.close();
} finally {
  await rm(directory, { recursive: true, force: true });
}
