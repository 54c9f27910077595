/**
 * What one stream of blocks of 4 MiB reaches, printed as JSON: to a single node, to a ring of three nodes with three copies, and from a
 * node that is drained to the others; beside it what one core hashes and what the disk takes, in the same minute.
 *
 *   node FLAGS dist/test/bench/streams.js [--mib 512] [--base-port 33300] [--directory DIR]
 *
 * FLAGS are handed on to the servers: those of the `ringfs` script give the figures of production.
 */
import { createHash } from 'node:crypto';
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import type { BlockId } from '../../src/base/ids.ts';
import { BlockClient } from '../../src/client/block-client.ts';
import { MetaClient } from '../../src/client/meta-client.ts';
import { blockConnector, metaConnector } from '../../src/io/grpc/connectors.ts';
import { systemRandom } from '../../src/io/os/system-random.ts';
import { SystemTimers } from '../../src/io/os/system-timers.ts';
import { RecordingLogger } from '../support/recording-logger.ts';
import { ServerProcesses } from '../support/server-processes.ts';
import { rounded } from './bench-servers.ts';

const BLOCK_BYTES = 4 << 20;
const DIFFERENT = 8;

const { values } = parseArgs({
  options: {
    mib: { type: 'string', default: '512' },
    'base-port': { type: 'string', default: '33300' },
    directory: { type: 'string', default: tmpdir() },
  },
});
const count = Math.max(8, Math.floor(Number(values.mib) / 4));
const noise = Array.from({ length: DIFFERENT }, () => systemRandom.bytes(BLOCK_BYTES));
let stamp = 0;

/** A block that nobody has seen. */
function fresh(): Uint8Array {
  const data = noise[stamp % DIFFERENT]!;
  // Numbers in the content that was sent before are no matter: every content is used once.
  new DataView(data.buffer, data.byteOffset).setUint32(0, stamp++);
  return data;
}

const rate = (bytes: number, ms: number): number => rounded(bytes / 2 ** 20 / (ms / 1_000), 0);

async function timed(work: () => void | Promise<void>): Promise<number> {
  const begun = performance.now();
  await work();
  return rate(count * BLOCK_BYTES, performance.now() - begun);
}

async function references(): Promise<object> {
  const folder = mkdtempSync(path.join(values.directory, 'ringfs-reference-'));
  try {
    const sha256 = await timed(() => {
      for (let i = 0; i < count; i++)
        createHash('sha256')
          .update(noise[i % DIFFERENT]!)
          .digest();
    });
    const file = await timed(() => {
      const fd = openSync(path.join(folder, 'file'), 'w');
      for (let i = 0; i < count; i++) {
        writeSync(fd, noise[i % DIFFERENT]!);
        fdatasyncSync(fd);
      }
      closeSync(fd);
    });
    return { sha256, fileWithSyncPerBlock: file };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function connect(addresses: readonly string[]): Promise<{ meta: MetaClient; blocks: BlockClient }> {
  const parts = { timers: new SystemTimers(), random: systemRandom, logger: new RecordingLogger() };
  const meta = new MetaClient({ connector: metaConnector(), ...parts }, { addresses, clientName: 'bench' });
  const { replicas, clusterId } = await meta.topology();
  const nodes = async (): Promise<string[]> =>
    (await meta.topology()).blockNodes.flatMap(({ info }) => info?.address ?? []);
  const blocks = new BlockClient(
    { connector: blockConnector(), ...parts, nodes, seenIndex: () => meta.seenIndex() },
    { clientName: 'bench', clusterId, replicas, cacheBytes: 0 },
  );
  return { meta, blocks };
}

/** `inFlight` at a time. */
async function each(inFlight: number, work: (i: number) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let i = next++; i < count; i = next++) await work(i);
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
}

async function transfers(blocks: BlockClient, inFlight: number): Promise<object> {
  const ids: BlockId[] = [];
  const put = await timed(() => each(inFlight, async () => void ids.push(await blocks.put(fresh()))));
  const get = await timed(() => each(inFlight, async (i) => void (await blocks.get(ids[i]!))));
  return { inFlight, put, get };
}

/** The blocks of one of four nodes go to the others. */
async function drain(servers: ServerProcesses): Promise<object> {
  const used = async (): Promise<number> => {
    const { stdout } = await servers.ringfs('node', 'list');
    const { nodes } = JSON.parse(stdout) as { nodes: readonly { id: string; usedBytes: number }[] };
    return nodes.find(({ id }) => id === 's4')?.usedBytes ?? 0;
  };
  const bytes = await used();
  const begun = performance.now();
  const { status, stderr } = await servers.ringfs('node', 'drain', 's4', '--timeout', '600');
  if (status !== 0) throw new Error(stderr);
  const ms = performance.now() - begun;
  return { mib: rounded(bytes / 2 ** 20, 0), seconds: rounded(ms / 1_000, 1), rate: rate(bytes, ms) };
}

async function withRing(
  nodes: number,
  replicas: number,
  work: (blocks: BlockClient, servers: ServerProcesses) => Promise<object>,
): Promise<object> {
  const servers = new ServerProcesses({
    directory: values.directory,
    basePort: Number(values['base-port']) + 10 * nodes,
    metaServers: 1,
    flags: () => ['--replicas', String(replicas)],
    nodeFlags: process.execArgv,
  });
  try {
    for (let i = 0; i < nodes; i++) servers.start(servers.make());
    await servers.allAlive(servers.ids);
    const { meta, blocks } = await connect(servers.metaAddresses);
    const result = await work(blocks, servers);
    await blocks.close();
    await meta.close();
    return result;
  } finally {
    await servers.close();
  }
}

const both = async (blocks: BlockClient): Promise<object> => [
  await transfers(blocks, 1),
  await transfers(blocks, 4),
];
const result = {
  unit: 'MiB/s',
  mib: (count * BLOCK_BYTES) >> 20,
  references: await references(),
  oneNode: await withRing(1, 1, both),
  threeNodesThreeCopies: await withRing(3, 3, both),
  drainOfOneOfFour: await withRing(4, 3, async (blocks, servers) => {
    await transfers(blocks, 4);
    return drain(servers);
  }),
};
process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
process.exit();
