import Table from 'cli-table3';
import { CliError } from '../cli-error.ts';
import { clusterReport, type placementReport, type ServerReport, type Target } from '../cluster-report.ts';
import { serversIn } from '../run-state.ts';
import { parseAddresses } from '../values.ts';

export interface StatusFlags {
  readonly data: string;
  readonly json?: boolean;
}

export async function runStatus(addresses: string | undefined, flags: StatusFlags): Promise<void> {
  const report = await clusterReport(targetsOf(addresses, flags.data));
  const { health, leader, servers } = report;
  const healthy = servers.filter((server) => server.health === 'ok').length;
  if (flags.json === true) {
    process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  } else {
    const notes = notesOn(servers)
      .map((note) => `${note}\n`)
      .join('');
    process.stdout.write(
      `${table(servers)}\n${notes}${health}: ${healthy} of ${servers.length} servers healthy, leader ${leader ?? 'none'}\n`,
    );
  }
  if (servers.every((server) => server.health === 'down')) {
    throw new CliError(
      'no server answers',
      'start the cluster with: ringfs up, or name the servers: ringfs status HOST:PORT',
    );
  }
}

/** Throws CliError. */
export function targetsOf(addresses: string | undefined, data: string): readonly Target[] {
  if (addresses !== undefined)
    return parseAddresses(addresses, 'ADDRESS').map((address) => ({ id: address, address }));
  return serversIn(
    data,
    'name the servers: ringfs status HOST:PORT[,HOST:PORT...], or the data directory with --data',
  );
}

/** What the table has no room for, one line each. */
function notesOn(servers: readonly ServerReport[]): string[] {
  const notes: string[] = [];
  let shared: string | undefined;
  for (const { id, ring } of servers) {
    const { mode, drain, domains, replicas } = (ring ?? {}) as Partial<ReturnType<typeof placementReport>>;
    if (mode === 'draining') {
      const left =
        drain === null ? '' : `: ${drain?.blocksLeft} blocks (${bytes(drain?.bytesLeft ?? 0)}) are left`;
      notes.push(`${id} hands over its blocks${left}`);
    }
    if (mode === 'drained') notes.push(`${id} has handed over its blocks: ringfs node remove ${id}`);
    if (domains !== null && domains !== undefined && replicas !== undefined && domains < replicas)
      shared = `${domains} failure domains for ${replicas} copies: some copies share one`;
  }
  return shared === undefined ? notes : [...notes, shared];
}

export const bytes = (n: number): string => {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  const exponent = n <= 0 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(n) / 10));
  return `${(n / 1024 ** exponent).toFixed(exponent === 0 ? 0 : 1)} ${units[exponent]}`;
};

function table(servers: readonly ServerReport[]): string {
  const head = [
    'server',
    'address',
    'health',
    'raft',
    'term',
    'commit',
    'applied',
    'ring share',
    'blocks',
    'stored',
    'dead',
    'free',
    'rss',
  ];
  const out = new Table({ head, style: { head: [], border: [] } });
  for (const server of servers) {
    const raft = server.raft as {
      role: string;
      term: number;
      commitIndex: number;
      appliedIndex: number;
    } | null;
    const ring = server.ring as {
      share: number;
      blocks: number;
      storedBytes: number;
      availableBytes: number;
      reclaimableBytes: number;
    } | null;
    out.push([
      server.id,
      server.address,
      server.detail === '' ? server.health : `${server.health} (${server.detail})`,
      ...(raft === null ? ['-', '-', '-', '-'] : [raft.role, raft.term, raft.commitIndex, raft.appliedIndex]),
      ...(ring === null
        ? ['-', '-', '-', '-', '-']
        : [
            `${(ring.share * 100).toFixed(1)} %`,
            ring.blocks,
            bytes(ring.storedBytes),
            bytes(ring.reclaimableBytes),
            bytes(ring.availableBytes),
          ]),
      server.rssBytes === undefined ? '-' : bytes(server.rssBytes),
    ]);
  }
  return out.toString();
}
