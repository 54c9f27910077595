import { FsError } from '../base/errno.ts';
import { BLOCK_NODE_ALIVE_MS, BLOCK_NODE_USED_CHANGE_BYTES, BLOCK_NODES_MAX } from '../base/limits.ts';
import { decidedRow, reportedRow } from '../core/namespace/block-nodes.ts';
import type { RegistryRow } from '../core/namespace/read.ts';
import type { BlockNodeState } from '../gen/ringfs/v1/meta.ts';
import { type BlockNodeInfo, BlockNodeMode, type DrainProgress } from '../gen/ringfs/v1/namespace.ts';
import type { Timers } from '../ports/clock.ts';
import { proposeCommand } from './propose.ts';
import type { Replica } from './replica.ts';

export interface BlockNodeRegistryComponents {
  readonly replica: Replica;
  readonly timers: Timers;
  /** The registry's rows. */
  readonly listBlockNodes: () => Promise<readonly RegistryRow[]>;
}

/** What a node says besides what its row keeps. */
export interface ReportDetails {
  /** Highest `placed_at` of the rows by which it places blocks. */
  readonly placedAt: number;
  readonly drain: DrainProgress | undefined;
}

interface Report extends ReportDetails {
  readonly info: BlockNodeInfo;
  readonly atMs: number;
}

/**
 * What this leader heard of block nodes, over what the registry's rows say. A row is rewritten only when something changed that
 * matters to a reader of the row: reports come every second, and each rewrite is a log entry.
 */
export class BlockNodeRegistry {
  readonly #c: BlockNodeRegistryComponents;
  readonly #reports = new Map<string, Report>();
  /** The rows, read once: only this leader changes them. */
  #rows: Promise<Map<string, RegistryRow>> | undefined;
  /** Nodes whose row is being rewritten. */
  readonly #registering = new Map<string, Promise<void>>();
  readonly #sinceMs: number;

  constructor(components: BlockNodeRegistryComponents) {
    this.#c = components;
    this.#sinceMs = components.timers.nowMs();
  }

  /** Takes a report. Resolves when the registry has what matters of it. Throws FsError ENOSPC and what propose throws. */
  async report(
    info: BlockNodeInfo,
    details: ReportDetails = { placedAt: 0, drain: undefined },
  ): Promise<void> {
    const rows = await this.#load();
    const row = rows.get(info.id);
    if (row === undefined && rows.size >= BLOCK_NODES_MAX) {
      throw new FsError('ENOSPC', `there are ${BLOCK_NODES_MAX} block nodes already, removed ones included`);
    }
    this.#reports.set(info.id, { info, ...details, atMs: this.#c.timers.nowMs() });
    if (row !== undefined && !notable(row.node, info)) return;
    await this.#register(rows, info);
  }

  /** Has the node take blocks, give them away, or serve no more. Throws FsError ENOENT and what propose throws. */
  async setMode(id: string, mode: BlockNodeMode): Promise<void> {
    const rows = await this.#load();
    const row = rows.get(id);
    if (row === undefined) throw new FsError('ENOENT', `there is no block node ${id}`);
    if (row.mode === mode) return;
    const { index } = await proposeCommand(this.#c.replica, {
      $case: 'setBlockNodeMode',
      value: { id, mode },
    });
    // A registration may have been applied meanwhile.
    const current = rows.get(id) ?? row;
    rows.set(id, { ...decidedRow(current, mode, index), node: current.node });
  }

  /** Every registered node, removed ones included, with the last report where there is one. */
  async states(): Promise<BlockNodeState[]> {
    const rows = await this.#load();
    return [...rows.values()].map((row) => {
      const report = this.#reports.get(row.node.id);
      const alive = this.#isAlive(report);
      if (row.mode !== BlockNodeMode.DRAINING)
        return { ...stateOf(row), info: report?.info ?? row.node, alive };
      const agreed = this.#isAgreed(rows, row.placedAt ?? 0);
      return { ...stateOf(row), info: report?.info ?? row.node, alive, agreed, drain: report?.drain };
    });
  }

  #isAlive(report: Report | undefined): boolean {
    return report !== undefined && this.#c.timers.nowMs() - report.atMs <= BLOCK_NODE_ALIVE_MS;
  }

  /** Whether every living node places blocks by the row of this commit index. A new leader does not know yet who lives. */
  #isAgreed(rows: ReadonlyMap<string, RegistryRow>, placedAt: number): boolean {
    if (this.#c.timers.nowMs() - this.#sinceMs <= BLOCK_NODE_ALIVE_MS) return false;
    const living = [...this.#reports.values()].filter(
      (report) => this.#isAlive(report) && rows.get(report.info.id)?.mode !== BlockNodeMode.REMOVED,
    );
    return living.every((report) => report.placedAt >= placedAt);
  }

  /** Bytes that can be stored, each counted once although it is stored `replicas` times. */
  async capacity(replicas: number): Promise<{ capacityBytes: number; availableBytes: number }> {
    // A new leader believes the rows until every node has had the time to report.
    const fresh = this.#c.timers.nowMs() - this.#sinceMs <= BLOCK_NODE_ALIVE_MS;
    let nodes = 0;
    let capacity = 0;
    let available = 0;
    for (const { info, alive, mode } of await this.states()) {
      if (mode !== undefined && mode !== BlockNodeMode.UNSPECIFIED) continue;
      if (info === undefined || !(alive || (fresh && !this.#reports.has(info.id)))) continue;
      nodes++;
      const free = availableBytes(info);
      capacity += info.usedBytes + free;
      available += free;
    }
    // A ring with fewer than `replicas` nodes stores one copy on each.
    const copies = Math.max(1, Math.min(replicas, nodes));
    return {
      capacityBytes: Math.floor(capacity / copies),
      availableBytes: Math.floor(available / copies),
    };
  }

  #load(): Promise<Map<string, RegistryRow>> {
    this.#rows ??= this.#c.listBlockNodes().then(
      (rows) => new Map(rows.map((row) => [row.node.id, row])),
      (error: unknown) => {
        this.#rows = undefined;
        throw error;
      },
    );
    return this.#rows;
  }

  async #register(rows: Map<string, RegistryRow>, info: BlockNodeInfo): Promise<void> {
    const running = this.#registering.get(info.id);
    if (running !== undefined) return running; // the next report brings what that one misses
    const registering = proposeCommand(this.#c.replica, {
      $case: 'registerBlockNode',
      value: { node: info },
    }).then(
      ({ index }) => {
        this.#registering.delete(info.id);
        rows.set(info.id, { ...reportedRow(rows.get(info.id), info, index), node: info });
      },
      (error: unknown) => {
        this.#registering.delete(info.id);
        throw error;
      },
    );
    this.#registering.set(info.id, registering);
    return registering;
  }
}

/** What a row says of its node. */
export function stateOf({ node, mode, placedAt }: RegistryRow): Omit<BlockNodeState, 'alive'> {
  return { info: node, mode: mode ?? BlockNodeMode.UNSPECIFIED, placedAt: placedAt ?? 0 };
}

/** A node may be allowed more than its disk has left: others fill it too, and space is not reclaimed at once. */
function availableBytes({ capacityBytes, usedBytes, availableBytes: onDisk }: BlockNodeInfo): number {
  return Math.max(0, Math.min(capacityBytes - usedBytes, onDisk ?? Number.POSITIVE_INFINITY));
}

function notable(row: BlockNodeInfo, info: BlockNodeInfo): boolean {
  const used = Math.abs(row.usedBytes - info.usedBytes);
  const available = Math.abs(availableBytes(row) - availableBytes(info));
  return (
    row.address !== info.address ||
    row.capacityBytes !== info.capacityBytes ||
    row.virtualNodes !== info.virtualNodes ||
    row.domain !== info.domain ||
    used > BLOCK_NODE_USED_CHANGE_BYTES ||
    available > BLOCK_NODE_USED_CHANGE_BYTES ||
    used > row.usedBytes * 0.05
  );
}
