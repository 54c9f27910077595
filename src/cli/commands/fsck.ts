import { tmpdir } from 'node:os';
import { REPLICAS_DEFAULT } from '../../base/limits.ts';
import { livingOf } from '../../client/block-addresses.ts';
import { BlockConnections } from '../../client/connections.ts';
import { MetaObserver } from '../../client/meta-observer.ts';
import { NodeList } from '../../client/node-list.ts';
import { RingCache } from '../../client/ring-cache.ts';
import { Census } from '../../fsck/census.ts';
import { Fsck, type FsckResult } from '../../fsck/fsck.ts';
import type { Topology } from '../../gen/ringfs/v1/meta.ts';
import { fetchDump } from '../../io/grpc/admin-client.ts';
import { blockConnector, metaConnector } from '../../io/grpc/connectors.ts';
import { createLogger } from '../../io/log/pino-logger.ts';
import { jitterRandom } from '../../io/os/system-random.ts';
import { SystemTimers } from '../../io/os/system-timers.ts';
import { copyRows, readDumpHeader } from '../../meta/maintenance/load-dump.ts';
import type { KvStore } from '../../ports/kv-store.ts';
import { CliError } from '../cli-error.ts';
import { type ClusterFlags, clientOf } from './cluster.ts';
import { FSCK_STATUS, FsckOutput, outcomeOf } from './fsck-output.ts';
import { withAdvice } from './meta-data.ts';
import { withKv, withScratch } from './scratch.ts';

export interface FsckFlags extends ClusterFlags {
  readonly repair?: boolean;
  readonly fast?: boolean;
  readonly scratch?: string;
}

/** Checks files and blocks of a running cluster. Throws CliError, also when something is wrong with it. */
export async function runFsck(flags: FsckFlags): Promise<void> {
  const output = new FsckOutput({ json: flags.json === true });
  let outcome: ReturnType<typeof outcomeOf>;
  try {
    outcome = await withAdvice(() =>
      withScratch(flags.scratch ?? tmpdir(), (folder) =>
        withKv(folder, 'rows', (rows) =>
          withKv(folder, 'sort', (sorted) =>
            withKv(folder, 'damage', (damage) => check(flags, { rows, sorted, damage }, output)),
          ),
        ),
      ),
    );
  } catch (error) {
    if (error instanceof CliError && error.exitCode === 2) throw error;
    const hint = error instanceof CliError ? error.hint : 'see: ringfs status';
    throw new CliError(`not checked: ${(error as Error).message}`, hint, FSCK_STATUS.notChecked);
  } finally {
    output.endProgress();
  }
  if (outcome !== undefined) throw new CliError(outcome.message, outcome.hint, outcome.status);
}

interface Stores {
  readonly rows: KvStore;
  readonly sorted: KvStore;
  readonly damage: KvStore;
}

async function check(
  flags: FsckFlags,
  stores: Stores,
  output: FsckOutput,
): Promise<ReturnType<typeof outcomeOf>> {
  const members = await clientOf(flags).members();
  const leader = members.find((member) => member.role === 'leader');
  if (leader === undefined) throw new CliError('there is no leader', 'see: ringfs status');
  const { clusterId, index } = await readRowsOf(leader.address, stores.rows);
  const timers = new SystemTimers();
  const logger = createLogger({ level: 'error', format: 'auto' });
  const parts = { timers, random: jitterRandom(), logger };
  const addresses = [leader, ...members.filter((member) => member !== leader)].map(({ address }) => address);
  const observer = new MetaObserver(
    { connector: metaConnector(), ...parts },
    { addresses, name: 'ringfs fsck', clusterId },
  );
  const connections = new BlockConnections(
    { connector: blockConnector(), ...parts },
    { clientName: 'ringfs fsck', clusterId },
  );
  try {
    const topology = await observer.topology();
    const nodes = namesOf(topology);
    const replicas = topology.replicas === 0 ? REPLICAS_DEFAULT : topology.replicas;
    const list = new NodeList({ timers, logger, source: () => observer.topology().then(livingOf) });
    const ring = new RingCache({ connections, random: parts.random, nodes: list }, { replicas });
    const census = new Census({ connections, ring, timers, logger, nodes: [...nodes.keys()] });
    const options = { replicas, verify: flags.fast !== true, repair: flags.repair === true };
    const fsck = new Fsck(
      {
        ...stores,
        census,
        stillKnown: (ids) => observer.knownBlocks(ids),
        onProgress: (progress) => output.progress(progress),
      },
      options,
    );
    const result: FsckResult = await fsck.run();
    const report = { clusterId, index, ...options, names: nodes, result };
    await output.report(report, result.book.files(stores.sorted));
    return outcomeOf(report);
  } finally {
    observer.close();
    connections.close();
  }
}

async function readRowsOf(address: string, rows: KvStore): Promise<{ clusterId: string; index: number }> {
  const parts = fetchDump(address);
  try {
    const header = await readDumpHeader(parts);
    await copyRows(parts, rows);
    return { clusterId: header.clusterId, index: header.meta?.index ?? 0 };
  } finally {
    await parts.return?.();
  }
}

/** Names of all block nodes, by address. */
function namesOf(topology: Topology): Map<string, string> {
  return new Map(
    topology.blockNodes.flatMap(({ info }) => (info === undefined ? [] : [[info.address, info.id] as const])),
  );
}
