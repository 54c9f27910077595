// Commits per second and their latency through three Raft drivers in this process, each with RocksDB on a real disk.
// By hand: npx tsc -b && node dist/test/bench/raft-commits.js [directory] [seconds per step]
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ServerId } from '../../src/base/ids.ts';
import { seededRandom } from '../../src/base/random.ts';
import { SystemTimers } from '../../src/io/os/system-timers.ts';
import { openMetaStorage } from '../../src/io/rocksdb/meta-storage.ts';
import { RaftReplica } from '../../src/meta/raft/raft-replica.ts';
import type { Applied, Replica } from '../../src/meta/replica.ts';
import { MemoryRaftNetwork } from '../support/memory-raft-network.ts';
import { RecordingLogger } from '../support/recording-logger.ts';
import { CLUSTER_ID, createFileCommand, openSessionCommand } from '../support/replica-cluster.ts';

/** A running cluster to measure. */
export interface BenchCluster {
  /** Proposes on the leader. */
  propose(command: Uint8Array): Promise<Applied>;
  close(): Promise<void>;
}

export type BenchClusterFactory = (directory: string) => Promise<BenchCluster>;

/** Three drivers that exchange messages in memory. */
export async function memoryNetworkCluster(directory: string): Promise<BenchCluster> {
  const ids = ['s1', 's2', 's3'] as ServerId[];
  const network = new MemoryRaftNetwork(CLUSTER_ID);
  const timers = new SystemTimers();
  const logger = new RecordingLogger();
  const replicas: RaftReplica[] = [];
  for (const [at, id] of ids.entries()) {
    const storage = await openMetaStorage(join(directory, id));
    const members = ids.map((member) => ({ id: member, address: `${member}:1` }));
    const replica = new RaftReplica(
      { timers, random: seededRandom(at + 1), logger, transport: network.transport(id), storage },
      { id, clusterId: CLUSTER_ID, members, replicas: 3 },
    );
    replicas.push(replica);
    network.attach(id, replica);
  }
  const leader = new Promise<Replica>((resolve) => {
    for (const replica of replicas) {
      replica.onRoleChange((role) => {
        if (role === 'leader') resolve(replica);
      });
    }
  });
  // Timers do not keep the process alive.
  const alive = setInterval(() => undefined, 1000);
  await Promise.all(replicas.map((replica) => replica.start()));
  const current = await leader;
  return {
    propose: (command) => current.propose(command),
    close: async () => {
      await Promise.all(replicas.map((replica) => replica.stop()));
      clearInterval(alive);
    },
  };
}

let files = 0;

async function openSession(cluster: BenchCluster, n: number): Promise<number> {
  const applied = await cluster.propose(openSessionCommand(n));
  return applied.outcome.value;
}

function checkOk(applied: Applied): void {
  const result = applied.outcome.result.body;
  if (result?.$case !== 'ok') throw new Error(`refused: ${JSON.stringify(result)}`);
}

async function measure(cluster: BenchCluster, inFlight: number, durationMs: number): Promise<void> {
  const latencies: number[] = [];
  const began = performance.now();
  const worker = async (n: number): Promise<void> => {
    const session = await openSession(cluster, inFlight * 1000 + n);
    for (let sequence = 1; performance.now() - began < durationMs; sequence++) {
      const at = performance.now();
      checkOk(await cluster.propose(createFileCommand(session, sequence, `file-${files++}`)));
      latencies.push(performance.now() - at);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, (_, n) => worker(n)));
  const seconds = (performance.now() - began) / 1000;
  latencies.sort((a, b) => a - b);
  const percentile = (p: number): string => latencies[Math.floor((latencies.length - 1) * p)]!.toFixed(2);
  const rate = Math.round(latencies.length / seconds);
  console.log(
    `${String(inFlight).padStart(3)} in flight: ${rate} commits/s, ` +
      `p50 ${percentile(0.5)} ms, p99 ${percentile(0.99)} ms, max ${percentile(1)} ms`,
  );
}

export async function benchCommits(
  factory: BenchClusterFactory,
  directory: string,
  seconds: number,
): Promise<void> {
  const work = await mkdtemp(join(directory, 'ringfs-bench-'));
  const cluster = await factory(work);
  try {
    for (const inFlight of [1, 16, 64]) await measure(cluster, inFlight, seconds * 1000);
  } finally {
    await cluster.close();
    await rm(work, { recursive: true, force: true });
  }
}

if (import.meta.url === `file://${process.argv[1]}`) {
  await benchCommits(memoryNetworkCluster, process.argv[2] ?? tmpdir(), Number(process.argv[3] ?? 3));
}
