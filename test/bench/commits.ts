/**
 * Commits of 256 bytes at three real metadata servers, and puts of 256 bytes at three etcd members, in turns, over one connection
 * each: rate and latency at 1, 16 and 256 in flight, printed as a table on standard error and as JSON. Every commit writes the content of one
 * of 256 files, every put the value of one of 256 keys; both are on the disks of a majority before they are answered.
 *
 *   node dist/test/bench/commits.js [--etcd PATH] [--seconds 4] [--rounds 2] [--base-port 33000] [--directory DIR]
 */
import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import { ROOT_INO } from '../../src/base/ids.ts';
import type { MetaClient } from '../../src/client/meta-client.ts';
import { inline, mkfile, write } from '../support/namespace-ops.ts';
import { BenchServers, percentile, rounded } from './bench-servers.ts';
import { type EtcdClient, EtcdCluster } from './etcd.ts';

const IN_FLIGHT = [1, 16, 256] as const;
const KEYS = 256;
const VALUE = new Uint8Array(256).fill(0x61);

const { values } = parseArgs({
  options: {
    etcd: { type: 'string', default: 'etcd' },
    seconds: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '2' },
    'base-port': { type: 'string', default: '33000' },
    directory: { type: 'string', default: tmpdir() },
  },
});

interface Sample {
  readonly latencies: number[];
  seconds: number;
}

type Put = (lane: number) => Promise<void>;

async function measure(put: Put, inFlight: number, seconds: number, sample: Sample): Promise<void> {
  const begun = performance.now();
  const end = begun + seconds * 1000;
  const lane = async (n: number): Promise<void> => {
    for (let now = begun; now < end; ) {
      await put(n);
      const done = performance.now();
      sample.latencies.push(done - now);
      now = done;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, (_, n) => lane(n)));
  sample.seconds += (performance.now() - begun) / 1000;
}

async function ringfsPut(client: MetaClient): Promise<Put> {
  const inos: number[] = [];
  for (let at = 0; at < KEYS; at++) {
    const { results } = await client.commit([mkfile(ROOT_INO, `k${at}`)]);
    inos.push(results[0]!.ino);
  }
  return async (lane) => {
    await client.commit([write(inos[lane]!, [inline(0, VALUE)])]);
  };
}

function etcdPut(client: EtcdClient): Put {
  const keys = Array.from({ length: KEYS }, (_, at) => new TextEncoder().encode(`k${at}`));
  return (lane) => client.put(keys[lane]!, VALUE);
}

function figures({ latencies, seconds }: Sample): { perSecond: number; p50Ms: number; p99Ms: number } {
  latencies.sort((a, b) => a - b);
  return {
    perSecond: Math.round(latencies.length / seconds),
    p50Ms: rounded(percentile(latencies, 0.5)),
    p99Ms: rounded(percentile(latencies, 0.99)),
  };
}

const basePort = Number(values['base-port']);
const { directory } = values;
const servers = new BenchServers({ count: 3, basePort, directory });
const etcd = new EtcdCluster(values.etcd, { basePort: basePort + 10, directory });
// Timers of the client do not keep the process alive.
const alive = setInterval(() => undefined, 60_000);
try {
  servers.startAll();
  etcd.start();
  const client = servers.client('bench');
  const member = await etcd.leader();
  const systems = { ringfs: await ringfsPut(client), etcd: etcdPut(member) };
  const samples = new Map<string, Sample>();
  // Code is compiled, and connections have their windows.
  for (const put of Object.values(systems)) await measure(put, 16, 1, { latencies: [], seconds: 0 });
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const inFlight of IN_FLIGHT) {
      for (const [name, put] of Object.entries(systems)) {
        const key = `${name} ${inFlight}`;
        const sample = samples.get(key) ?? { latencies: [], seconds: 0 };
        samples.set(key, sample);
        await measure(put, inFlight, Number(values.seconds), sample);
      }
    }
  }
  member.close();
  const results = IN_FLIGHT.map((inFlight) => {
    const ringfs = figures(samples.get(`ringfs ${inFlight}`)!);
    const other = figures(samples.get(`etcd ${inFlight}`)!);
    const ratios = {
      perSecond: rounded(ringfs.perSecond / other.perSecond),
      p50: rounded(ringfs.p50Ms / other.p50Ms),
      p99: rounded(ringfs.p99Ms / other.p99Ms),
    };
    return { inFlight, ringfs, etcd: other, ringfsToEtcd: ratios };
  });
  process.stderr.write('in flight   ringfs/s  p50 ms  p99 ms     etcd/s  p50 ms  p99 ms   rate ratio\n');
  for (const { inFlight, ringfs, etcd: other, ringfsToEtcd } of results) {
    const cells = [inFlight, ringfs.perSecond, ringfs.p50Ms, ringfs.p99Ms];
    const others = [other.perSecond, other.p50Ms, other.p99Ms, ringfsToEtcd.perSecond];
    const widths = [9, 11, 8, 8, 11, 8, 8, 13];
    const line = [...cells, ...others].map((cell, at) => String(cell).padStart(widths[at]!)).join('');
    process.stderr.write(`${line}\n`);
  }
  process.stdout.write(`${JSON.stringify({ valueBytes: VALUE.length, results }, null, 2)}\n`);
} finally {
  await servers.close();
  await etcd.close();
  clearInterval(alive);
}
