import { FsError } from '../base/errno.ts';
import { BLOCK_NODE_ALIVE_MS, BLOCK_NODE_USED_CHANGE_BYTES, BLOCK_NODES_MAX } from '../base/limits.ts';
import type { BlockNodeState } from '../gen/ringfs/v1/meta.ts';
import type { BlockNodeInfo } from '../gen/ringfs/v1/namespace.ts';
import type { Timers } from '../ports/clock.ts';
import { proposeCommand } from './propose.ts';
import type { Replica } from './replica.ts';

export interface BlockNodeRegistryComponents {
  readonly replica: Replica;
  readonly timers: Timers;
  /** The registry's rows. */
  readonly listBlockNodes: () => Promise<readonly BlockNodeInfo[]>;
}

interface Report {
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
  #rows: Promise<Map<string, BlockNodeInfo>> | undefined;
  /** Nodes whose row is being rewritten. */
  readonly #registering = new Map<string, Promise<void>>();
  readonly #sinceMs: number;

  constructor(components: BlockNodeRegistryComponents) {
    this.#c = components;
    this.#sinceMs = components.timers.nowMs();
  }

  /** Takes a report. Resolves when the registry has what matters of it. Throws FsError ENOSPC and what propose throws. */
  async report(info: BlockNodeInfo): Promise<void> {
    const rows = await this.#load();
    const row = rows.get(info.id);
    if (row === undefined && rows.size >= BLOCK_NODES_MAX) {
      throw new FsError('ENOSPC', `there are ${BLOCK_NODES_MAX} block nodes already`);
    }
    this.#reports.set(info.id, { info, atMs: this.#c.timers.nowMs() });
    if (row !== undefined && !notable(row, info)) return;
    await this.#register(rows, info);
  }

  /** Every registered node, with the last report where there is one. */
  async states(): Promise<BlockNodeState[]> {
    const rows = await this.#load();
    const now = this.#c.timers.nowMs();
    return [...rows.values()].map((row) => {
      const report = this.#reports.get(row.id);
      const alive = report !== undefined && now - report.atMs <= BLOCK_NODE_ALIVE_MS;
      return { info: report?.info ?? row, alive };
    });
  }

  /** Bytes that can be stored, each counted once although it is stored `replicas` times. */
  async capacity(replicas: number): Promise<{ capacityBytes: number; availableBytes: number }> {
    // A new leader believes the rows until every node has had the time to report.
    const fresh = this.#c.timers.nowMs() - this.#sinceMs <= BLOCK_NODE_ALIVE_MS;
    let nodes = 0;
    let capacity = 0;
    let available = 0;
    for (const { info, alive } of await this.states()) {
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

  #load(): Promise<Map<string, BlockNodeInfo>> {
    this.#rows ??= this.#c.listBlockNodes().then(
      (rows) => new Map(rows.map((row) => [row.id, row])),
      (error: unknown) => {
        this.#rows = undefined;
        throw error;
      },
    );
    return this.#rows;
  }

  async #register(rows: Map<string, BlockNodeInfo>, info: BlockNodeInfo): Promise<void> {
    const running = this.#registering.get(info.id);
    if (running !== undefined) return running; // the next report brings what that one misses
    const registering = proposeCommand(this.#c.replica, {
      $case: 'registerBlockNode',
      value: { node: info },
    }).then(
      () => {
        this.#registering.delete(info.id);
        rows.set(info.id, info);
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
    used > BLOCK_NODE_USED_CHANGE_BYTES ||
    available > BLOCK_NODE_USED_CHANGE_BYTES ||
    used > row.usedBytes * 0.05
  );
}
