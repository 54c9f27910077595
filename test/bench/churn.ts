/**
 * Eight real servers, three of them with metadata, under a load of writers and of readers that compare everything, while servers are
 * killed with -9, restarted, added, drained, removed and taken back. Printed as JSON: what happened, that nothing failed, and how long
 * it took at the end until every block was on R nodes. Exit status 1 when something failed.
 *
 *   node dist/test/bench/churn.js [--minutes 10] [--seed 1] [--timeout 30] [--base-port 33200] [--directory DIR]
 *
 * `--timeout`: seconds that an operation may wait for servers; of a mount, 30.
 */
import { tmpdir } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { seededRandom } from '../../src/base/random.ts';
import { BlockChurn } from '../support/block-churn.ts';
import { ServerProcesses } from '../support/server-processes.ts';
import { until } from '../support/test-cluster.ts';
import { VerifiedLoad } from '../support/verified-load.ts';
import { rounded } from './bench-servers.ts';

const SERVERS = 8;
const PAUSE_MS_MIN = 1_000;
const PAUSE_MS_MAX = 7_000;
const HEAL_MS_MAX = 600_000;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string', default: '1' },
    timeout: { type: 'string', default: '30' },
    'base-port': { type: 'string', default: '33200' },
    directory: { type: 'string', default: tmpdir() },
  },
});

interface FsckJson {
  readonly status: number;
  readonly blocks: Readonly<Record<string, number>>;
}

async function fsck(...args: string[]): Promise<FsckJson | undefined> {
  const { stdout } = await servers.ringfs('fsck', ...args);
  return stdout === '' ? undefined : (JSON.parse(stdout) as FsckJson);
}

const startedMs = performance.now();
const seconds = (): number => rounded((performance.now() - startedMs) / 1_000, 1);
const say = (what: string): void => {
  process.stderr.write(`${seconds()} s: ${what}\n`);
};

const random = seededRandom(Number(values.seed));
// Of different capacity, as machines are that were bought one after the other.
const weights = new Map<string, number>();
const servers = new ServerProcesses({
  directory: values.directory,
  basePort: Number(values['base-port']),
  flags: (id) => ['--gc-grace', '10', '--virtual-nodes', String(weights.get(id) ?? 32)],
});
try {
  for (let i = 0; i < SERVERS; i++) {
    const id = servers.make();
    weights.set(id, i % 4 === 3 ? 48 : 24);
    servers.start(id);
  }
  await servers.allAlive(servers.ids);
  const load = await VerifiedLoad.connect({
    addresses: servers.metaAddresses,
    random: seededRandom(Number(values.seed) + 1),
    writers: 2,
    readers: 3,
    fileBytesMax: 3 << 20,
    filesMax: 300,
    thinkMs: 40,
    timeoutMs: Number(values.timeout) * 1_000,
  });
  load.start();
  const churn = new BlockChurn({ servers, random }, { servers: SERVERS, downMax: 2, downMs: 8_000, say });
  const endMs = performance.now() + Number(values.minutes) * 60_000;
  while (performance.now() < endMs) {
    await sleep(PAUSE_MS_MIN + random.below(PAUSE_MS_MAX - PAUSE_MS_MIN));
    churn.disturb();
  }
  await churn.settle();
  say('no more disturbances; the load ends');
  await load.stop();
  const calmMs = performance.now();
  const whole = await until(
    'every block is on R nodes',
    async () => {
      const found = await fsck('--fast');
      return found?.status === 0 ? found : undefined;
    },
    HEAL_MS_MAX,
  );
  const replicatedSeconds = rounded((performance.now() - calmMs) / 1_000, 1);
  say('every block is on R nodes');
  const verified = await fsck();
  await load.readEverything();
  const { writes, reads, deletes, bytesWritten, bytesRead } = load.counts;
  const result = {
    seconds: seconds(),
    ...churn.counts,
    writes,
    reads,
    deletes,
    writtenMiB: Math.round(bytesWritten / 2 ** 20),
    readMiB: Math.round(bytesRead / 2 ** 20),
    failed: load.failures.length,
    p50Ms: load.latency(0.5),
    p99Ms: load.latency(0.99),
    longestMs: load.latency(1),
    servers: servers.ids.length,
    files: load.files,
    blocks: whole.blocks['blocks'],
    replicatedSeconds,
    fsckStatus: verified?.status,
    commandsFailed: churn.failures.length,
  };
  process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
  const failures = [...load.failures, ...churn.failures];
  for (const failure of failures.slice(0, 10)) process.stderr.write(`failed: ${failure}\n`);
  if (failures.length > 0 || verified?.status !== 0) {
    process.stderr.write(`${servers.logs()}\n`);
    process.exitCode = 1;
  }
  await load.close();
} finally {
  await servers.close();
}
process.exit();
