/**
 * The layers below a mount, on a running cluster, printed as JSON: Raft commits per second and their latency at 1 and 64 in
 * flight, and block put and get throughput.
 *
 *   node dist/test/bench/layers.js HOST:PORT[,HOST:PORT...] [--commits 2000] [--mib 256]
 */
import { parseArgs } from 'node:util';
import { ROOT_INO } from '../../src/base/ids.ts';
import { BlockClient } from '../../src/client/block-client.ts';
import { MetaClient } from '../../src/client/meta-client.ts';
import { blockConnector, metaConnector } from '../../src/io/grpc/connectors.ts';
import { systemRandom } from '../../src/io/os/system-random.ts';
import { SystemTimers } from '../../src/io/os/system-timers.ts';
import { RecordingLogger } from '../support/recording-logger.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { commits: { type: 'string', default: '2000' }, mib: { type: 'string', default: '256' } },
});
const addresses = positionals[0]?.split(',');
if (addresses === undefined) {
  process.stderr.write('usage: layers.js HOST:PORT[,HOST:PORT...] [--commits N] [--mib N]\n');
  process.exit(2);
}
const alive = setInterval(() => {}, 60_000);
const parts = { timers: new SystemTimers(), random: systemRandom, logger: new RecordingLogger() };
const meta = new MetaClient({ connector: metaConnector(), ...parts }, { addresses, clientName: 'bench' });
const { replicas, clusterId } = await meta.topology();
const blocks = new BlockClient(
  {
    connector: blockConnector(),
    ...parts,
    nodes: async () => (await meta.topology()).blockNodes.flatMap((node) => node.info?.address ?? []),
    seenIndex: () => meta.seenIndex(),
  },
  { clientName: 'bench', clusterId, replicas, cacheBytes: 0 },
);

/** Runs `work(0) ... work(count - 1)`, `inFlight` at a time. Latencies in ms, sorted. */
async function measure(
  count: number,
  inFlight: number,
  work: (i: number) => Promise<void>,
): Promise<{ seconds: number; latencies: number[] }> {
  const latencies: number[] = [];
  let next = 0;
  const start = performance.now();
  const lane = async (): Promise<void> => {
    for (let i = next++; i < count; i = next++) {
      const begun = performance.now();
      await work(i);
      latencies.push(performance.now() - begun);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
  return { seconds: (performance.now() - start) / 1000, latencies: latencies.sort((a, b) => a - b) };
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const round = (value: number | undefined): number => Math.round((value ?? 0) * 100) / 100;

async function commits(parent: number, inFlight: number): Promise<object> {
  const count = Number(values.commits);
  const { seconds, latencies } = await measure(count, inFlight, async (i) => {
    const value = {
      parent,
      name: text(`${inFlight}-${i}`),
      mode: 0o100644,
      uid: 0,
      gid: 0,
      rdev: 0,
      umask: 0,
      symlinkTarget: new Uint8Array(0),
    };
    await meta.commit([{ body: { $case: 'makeNode', value } }]);
  });
  const at = (share: number): number => round(latencies[Math.min(count - 1, Math.floor(count * share))]);
  return { inFlight, perSecond: Math.round(count / seconds), p50Ms: at(0.5), p99Ms: at(0.99) };
}

async function makeDirectory(): Promise<number> {
  const name = text(`bench-${process.pid}-${Date.now()}`);
  const value = {
    parent: ROOT_INO,
    name,
    mode: 0o40755,
    uid: 0,
    gid: 0,
    rdev: 0,
    umask: 0,
    symlinkTarget: new Uint8Array(0),
  };
  const { results } = await meta.commit([{ body: { $case: 'makeNode', value } }]);
  return results[0]?.ino ?? 0;
}

async function transfer(sizeBytes: number): Promise<object> {
  const count = Math.max(8, Math.floor((Number(values.mib) * 2 ** 20) / sizeBytes));
  const data = Array.from({ length: 8 }, () => systemRandom.bytes(sizeBytes));
  const ids: Awaited<ReturnType<typeof blocks.put>>[] = [];
  const put = await measure(count, 4, async (i) => {
    const block = new Uint8Array(data[i % 8]!);
    new DataView(block.buffer).setUint32(0, i);
    ids.push(await blocks.put(block));
  });
  const get = await measure(count, 4, async (i) => {
    await blocks.get(ids[i]!);
  });
  const rate = (seconds: number): number => round((count * sizeBytes) / 2 ** 20 / seconds);
  return { sizeBytes, inFlight: 4, putMiBPerSecond: rate(put.seconds), getMiBPerSecond: rate(get.seconds) };
}

await meta.statfs();
const parent = await makeDirectory();
const result = {
  commits: [await commits(parent, 1), await commits(parent, 64)],
  blocks: [await transfer(4 << 20), await transfer(64 << 10)],
};
process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
await blocks.close();
await meta.close();
clearInterval(alive);
