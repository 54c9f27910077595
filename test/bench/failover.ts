/**
 * The leader of three real metadata servers is killed with -9 again and again, while one client commits and another reads. For each kill the
 * longest time that either of them waited for an answer; no operation may fail, and at the end everything that was
 * acknowledged must be there. Printed as JSON; exit status 1 when something failed or was lost.
 *
 *   node dist/test/bench/failover.js [--kills 20] [--base-port 33100] [--directory DIR]
 */
import { tmpdir } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type Ino, ROOT_INO } from '../../src/base/ids.ts';
import type { MetaClient } from '../../src/client/meta-client.ts';
import { fetchServerStatus } from '../../src/io/grpc/admin-client.ts';
import { mkdir, mkfile, text } from '../support/namespace-ops.ts';
import { until } from '../support/test-cluster.ts';
import { BenchServers, percentile, rounded } from './bench-servers.ts';

/** Between operations of one caller, so that three servers are not what is measured. */
const THINK_MS = 2;
const ENTRIES_PER_PAGE = 1_000;
const ENTRIES_PER_DIRECTORY = 10_000;

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '20' },
    'base-port': { type: 'string', default: '33100' },
    directory: { type: 'string', default: tmpdir() },
  },
});

/** Asks one thing after the other and remembers the longest wait. */
class Caller {
  readonly #operation: (n: number) => Promise<void>;
  readonly failures: string[] = [];
  #ended = false;
  #since = performance.now();
  #longestMs = 0;
  operations = 0;

  constructor(operation: (n: number) => Promise<void>) {
    this.#operation = operation;
  }

  async run(): Promise<void> {
    while (!this.#ended) {
      this.#since = performance.now();
      try {
        await this.#operation(this.operations++);
      } catch (error) {
        this.failures.push(String(error));
      }
      this.#longestMs = Math.max(this.#longestMs, performance.now() - this.#since);
      await sleep(THINK_MS);
    }
  }

  /** Since it was last asked. */
  takeLongestMs(): number {
    const longest = this.#longestMs;
    this.#longestMs = 0;
    return longest;
  }

  end(): void {
    this.#ended = true;
  }
}

async function namesIn(client: MetaClient, ino: Ino): Promise<Set<string>> {
  const names = new Set<string>();
  let after = new Uint8Array(0);
  for (;;) {
    const { entries, end } = await client.readdir(ino, after, ENTRIES_PER_PAGE, false);
    for (const { name } of entries) {
      names.add(text(name));
      after = Uint8Array.from(name);
    }
    if (end) return names;
  }
}

/** All servers answer and have applied what the leader has committed. */
async function allCaughtUp(servers: BenchServers): Promise<void> {
  await until('all servers have caught up', async () => {
    const asked = servers.addresses.map((address) => fetchServerStatus(address, 1_000));
    const all = await Promise.all(asked).catch(() => undefined);
    const commit = all?.find(({ raft }) => raft?.role === 'leader')?.raft?.commitIndex;
    if (all === undefined || commit === undefined) return false;
    return all.every(({ raft }) => (raft?.appliedIndex ?? 0) + ENTRIES_BEHIND_MAX >= commit);
  });
}
const ENTRIES_BEHIND_MAX = 100;

const { directory } = values;
const servers = new BenchServers({ count: 3, basePort: Number(values['base-port']), directory });
const alive = setInterval(() => undefined, 60_000);
try {
  servers.startAll();
  const [writer, reader] = [servers.client('writer'), servers.client('reader')];
  await writer.statfs();
  await reader.statfs();
  const directories: Ino[] = [];
  const acknowledged: string[] = [];
  const commits = new Caller(async (n) => {
    if (n % ENTRIES_PER_DIRECTORY === 0) {
      const { results } = await writer.commit([mkdir(ROOT_INO, `d${n}`)]);
      directories.push(results[0]!.ino as Ino);
    }
    await writer.commit([mkfile(directories.at(-1)!, `f${n}`)]);
    acknowledged.push(`f${n}`);
  });
  // Only the leader answers it, and clients do not cache it.
  const reads = new Caller(async () => void (await reader.statfs()));
  const callers = [commits.run(), reads.run()];
  const kills: { readonly commitMs: number; readonly readMs: number }[] = [];
  for (let kill = 0; kill < Number(values.kills); kill++) {
    await allCaughtUp(servers);
    await sleep(500);
    const victim = await servers.leader(writer);
    commits.takeLongestMs();
    reads.takeLongestMs();
    const [commitsBefore, readsBefore] = [commits.operations, reads.operations];
    await servers.kill(victim);
    // The operations under way at the kill and some after it.
    await until(
      'both callers go on',
      () => commits.operations > commitsBefore + 20 && reads.operations > readsBefore + 20,
    );
    kills.push({ commitMs: Math.round(commits.takeLongestMs()), readMs: Math.round(reads.takeLongestMs()) });
    process.stderr.write(`kill ${kill + 1}: ${victim}, ${JSON.stringify(kills.at(-1))}\n`);
    servers.start(victim);
  }
  commits.end();
  reads.end();
  await Promise.all(callers);
  const auditor = servers.client('auditor');
  const found = new Set<string>();
  for (const ino of directories) for (const name of await namesIn(auditor, ino)) found.add(name);
  const lost = acknowledged.filter((name) => !found.has(name));
  const failures = [...commits.failures, ...reads.failures];
  const gaps = kills.map(({ commitMs, readMs }) => Math.max(commitMs, readMs)).sort((a, b) => a - b);
  const result = {
    kills: kills.length,
    medianMs: percentile(gaps, 0.5),
    worstMs: gaps.at(-1),
    meanMs: rounded(gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length, 0),
    acknowledged: acknowledged.length,
    lost: lost.length,
    failed: failures.length,
    each: kills,
  };
  process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
  for (const failure of failures.slice(0, 5)) process.stderr.write(`failed: ${failure}\n`);
  if (lost.length > 0 || failures.length > 0) process.exitCode = 1;
} finally {
  await servers.close();
  clearInterval(alive);
}
