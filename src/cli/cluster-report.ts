import { hostname } from 'node:os';
import { toHex } from '../base/bytes.ts';
import type { ServerStatus } from '../gen/ringfs/v1/admin.ts';
import type { NodeInfo, ScrubStatus } from '../gen/ringfs/v1/block.ts';
import { BlockNodeMode } from '../gen/ringfs/v1/namespace.ts';
import { fetchServerStatus, requestBlockNodes } from '../io/grpc/admin-client.ts';
import { modeName } from './node-mode.ts';

/** What `ringfs status` and the gateway tell of a cluster. */

const STATUS_TIMEOUT_MS = 3_000;
/** Discovery follows what servers say of others; a wrong answer must not make it endless. */
const SERVERS_MAX = 1_000;

export interface Target {
  readonly id: string;
  readonly address: string;
}

export interface ServerReport {
  readonly id: string;
  readonly pid: number | null;
  readonly address: string;
  readonly roles: readonly string[];
  readonly health: string;
  readonly detail: string;
  readonly version?: string;
  readonly uptimeMs?: number;
  readonly rssBytes?: number;
  readonly eventLoopP99Ms?: number;
  readonly raft: object | null;
  readonly ring: object | null;
}

export interface ClusterReport {
  readonly health: 'ok' | 'degraded' | 'down';
  readonly leader: string | null;
  readonly servers: readonly ServerReport[];
}

/** Of these servers and those that they name, by name. */
export async function clusterReport(targets: readonly Target[]): Promise<ClusterReport> {
  const reports = await collect(targets);
  const servers = [...reports.values()].sort((a, b) => a.id.localeCompare(b.id, 'en', { numeric: true }));
  const leader =
    servers.find((server) => (server.raft as { role?: string } | null)?.role === 'leader')?.id ?? null;
  const healthy = servers.filter((server) => server.health === 'ok').length;
  const health = healthy === servers.length ? 'ok' : leader === null ? 'down' : 'degraded';
  return { health, leader, servers };
}

/** Asks the given servers, and those that they name, each once. By address. */
export async function collect(targets: readonly Target[]): Promise<Map<string, ServerReport>> {
  const reports = new Map<string, ServerReport>();
  const asked = new Set<string>();
  let wave = targets;
  while (wave.length > 0 && asked.size < SERVERS_MAX) {
    for (const { address } of wave) asked.add(address);
    const answers = await Promise.all(wave.map(ask));
    for (const answer of answers) reports.set(answer.report.address, answer.report);
    const named = answers.flatMap((answer) => answer.others);
    wave = [...new Map(named.map((target) => [target.address, target])).values()].filter(
      ({ address }) => !asked.has(address),
    );
  }
  return reports;
}

async function ask(target: Target): Promise<{ report: ServerReport; others: readonly Target[] }> {
  try {
    const status = await fetchServerStatus(target.address, STATUS_TIMEOUT_MS);
    const others = [...othersOf(status), ...(await registered(target.address, status))];
    return { report: reportOf(status), others };
  } catch (error) {
    const detail = (error as Error).message;
    return {
      report: { ...target, pid: null, roles: [], health: 'down', detail, raft: null, ring: null },
      others: [],
    };
  }
}

function othersOf(status: ServerStatus): readonly Target[] {
  const members = status.metaMembers.map(({ id, address }) => ({ id, address }));
  const ring = (status.block?.ring ?? []).map((member) => ({ id: member.nodeId, address: member.address }));
  return [...members, ...ring].filter(({ address }) => address !== '' && address !== status.address);
}

/** Block nodes that the leader knows of. Without it, a node that only has blocks and is down would not be missed. */
async function registered(asked: string, { address, raft }: ServerStatus): Promise<readonly Target[]> {
  if (raft?.role !== 'leader') return [];
  try {
    const { result } = await requestBlockNodes(asked, undefined, STATUS_TIMEOUT_MS);
    if (result?.$case !== 'nodes') return [];
    return result.value.nodes.flatMap(({ info, mode }) =>
      info === undefined || mode === BlockNodeMode.REMOVED || info.address === address
        ? []
        : [{ id: info.id, address: info.address }],
    );
  } catch {
    return []; // what it said of itself is shown all the same
  }
}

function reportOf(status: ServerStatus): ServerReport {
  const { raft, block } = status;
  return {
    id: status.id,
    pid: status.host === hostname() ? status.pid : null,
    address: status.address,
    roles: status.roles,
    health: status.health,
    detail: status.healthDetail,
    version: status.version,
    uptimeMs: status.uptimeMs,
    rssBytes: status.rssBytes,
    eventLoopP99Ms: status.eventLoopP99Ms,
    raft: raft ?? null,
    ring:
      block === undefined
        ? null
        : {
            joined: block.joined,
            share: block.ringShare,
            positions: block.positions.map((member) => toHex(member.position)),
            members: new Set(block.ring.map((member) => member.nodeId)).size,
            blocks: block.blocks,
            storedBytes: block.storedBytes,
            capacityBytes: block.capacityBytes,
            availableBytes: block.availableBytes,
            fileBytes: block.fileBytes ?? 0,
            reclaimableBytes: block.deadBytes ?? 0,
            corruptFound: block.corruptFound,
            repaired: block.repaired,
            underReplicated: block.underReplicated,
            badCopies: block.badCopies ?? 0,
            quarantinedSegments: block.quarantinedSegments ?? 0,
            quarantinedBytes: block.quarantinedBytes ?? 0,
            scrub: block.scrub === undefined ? null : scrubOf(block.scrub),
            readOnly: block.readOnly,
            ...placementReport(block),
          },
  };
}

function scrubOf(scrub: ScrubStatus): object {
  const { passBlocks, passBytes, lastPassBlocks, lastPassBad, lastPassTookMs, lastPassEndedSec, ...rest } =
    scrub;
  const last = {
    blocks: lastPassBlocks,
    bad: lastPassBad,
    tookMs: lastPassTookMs,
    endedUnixSec: lastPassEndedSec,
  };
  return {
    ...rest,
    pass: { blocks: passBlocks, bytes: passBytes },
    lastPass: lastPassEndedSec === 0 ? null : last,
  };
}

export function placementReport(block: NodeInfo) {
  const { drain, repair } = block;
  return {
    mode: modeName(block.mode, drain?.done === true),
    drain: drain ?? null,
    domain: block.domain ?? null,
    domains: block.domains ?? null,
    replicas: block.replicas ?? 0,
    repair: repair ?? null,
  };
}
