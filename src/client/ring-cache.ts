import { toHex } from '../base/bytes.ts';
import { FsError } from '../base/errno.ts';
import type { BlockId } from '../base/ids.ts';
import { BLOCK_CALL_TIMEOUT_MS, RING_HOPS_MAX, RING_RANGES_MAX } from '../base/limits.ts';
import type { Random } from '../base/random.ts';
import type { OwnersReply } from '../gen/ringfs/v1/block.ts';
import { RpcError } from '../ports/rpc.ts';
import type { BlockConnections } from './connections.ts';
import type { Deadline } from './deadline.ts';
import type { NodeList } from './node-list.ts';

/** Block nodes that hold the keys in (start, end], in ring order; identifiers as hexadecimal digits. */
interface Range {
  readonly start: string;
  readonly end: string;
  readonly addresses: readonly string[];
}

function contains(range: Range, key: string): boolean {
  if (range.start < range.end) return key > range.start && key <= range.end;
  // Around zero, or the whole ring when both are the same.
  return key > range.start || key <= range.end;
}

/** Whether the two arcs share a key: then one of them begins in the other, or both end at the same place. */
function overlaps(a: Range, b: Range): boolean {
  return contains(a, b.end) || contains(b, a.end);
}

/**
 * Which nodes own which part of the ring, as far as this client was told. Never wrong for long: owners that are not any
 * more say so to a put, or lack what is read, and then the range is learned anew.
 */
export class RangeMap {
  readonly #max: number;
  /** Sorted by end, disjoint. */
  #ranges: Range[] = [];

  constructor(max = RING_RANGES_MAX) {
    this.#max = max;
  }

  get size(): number {
    return this.#ranges.length;
  }

  find(key: string): readonly string[] | undefined {
    return this.#at(key)?.addresses;
  }

  /** Replaces whatever it overlaps: it is newer. */
  add(start: string, end: string, addresses: readonly string[]): void {
    const range: Range = { start, end, addresses };
    const kept = this.#ranges.filter((r) => !overlaps(r, range));
    if (kept.length >= this.#max) kept.length = 0;
    kept.splice(lowerBound(kept, end), 0, range);
    this.#ranges = kept;
  }

  forget(key: string): void {
    const range = this.#at(key);
    if (range !== undefined) this.#ranges = this.#ranges.filter((r) => r !== range);
  }

  clear(): void {
    this.#ranges = [];
  }

  #at(key: string): Range | undefined {
    if (this.#ranges.length === 0) return undefined;
    // The first end at or after the key; past the last one, the range that goes around zero.
    const range = this.#ranges[lowerBound(this.#ranges, key) % this.#ranges.length]!;
    return contains(range, key) ? range : undefined;
  }
}

function lowerBound(ranges: readonly Range[], end: string): number {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const mid = (low + high) >>> 1;
    if (ranges[mid]!.end < end) low = mid + 1;
    else high = mid;
  }
  return low;
}

export interface RingCacheComponents {
  readonly connections: BlockConnections;
  readonly random: Random;
  readonly nodes: NodeList;
}

/** Finds the owners of a block: from what is known of the ring, else by asking from node to node. */
export class RingCache {
  readonly #c: RingCacheComponents;
  readonly #replicas: number;
  readonly #ranges = new RangeMap();
  lookups = 0;

  constructor(components: RingCacheComponents, options: { readonly replicas: number }) {
    this.#c = components;
    this.#replicas = options.replicas;
  }

  get size(): number {
    return this.#ranges.size;
  }

  /** The owners' addresses in ring order; fewer than R in a small ring. Throws RpcError `unavailable` when nobody could
   * tell, EINTR, ETIMEDOUT. */
  async owners(id: BlockId, key: Uint8Array, deadline: Deadline): Promise<readonly string[]> {
    return this.#ranges.find(id) ?? (await this.learn(key, deadline));
  }

  /** As `owners`, from what the ring says now. */
  async learn(key: Uint8Array, deadline: Deadline): Promise<readonly string[]> {
    this.lookups++;
    const nodes = await this.nodes(deadline);
    let cause: unknown;
    for (const start of nodes) {
      deadline.check(cause);
      try {
        return await this.#lookup(start, key, deadline);
      } catch (error) {
        if (error instanceof FsError) throw error;
        cause = error;
      }
    }
    throw new RpcError('unavailable', `none of ${nodes.length} block nodes knows the owners`, { cause });
  }

  /** All block nodes, those that were reached lately first and else in random order. */
  async nodes(deadline: Deadline): Promise<readonly string[]> {
    const nodes = await deadline.race(this.#c.nodes.get());
    const keyed = nodes.map((address) => ({
      address,
      rank: (this.#c.connections.down(address) ? 1 : 0) + this.#c.random.next(),
    }));
    return keyed.sort((a, b) => a.rank - b.rank).map((k) => k.address);
  }

  /** What is known about this block's owners was wrong. */
  forget(id: BlockId): void {
    this.#ranges.forget(id);
    this.#c.nodes.refresh();
  }

  async #lookup(start: string, key: Uint8Array, deadline: Deadline): Promise<readonly string[]> {
    let address = start;
    for (let hop = 0; hop < RING_HOPS_MAX; hop++) {
      const reply = await this.#ask(address, key, deadline);
      if (reply.done) return this.#learned(reply);
      if (reply.nextHop === undefined || reply.nextHop.address === '') break;
      address = reply.nextHop.address;
    }
    throw new RpcError('unavailable', `the lookup that began at ${start} did not end`);
  }

  async #ask(address: string, key: Uint8Array, deadline: Deadline): Promise<OwnersReply> {
    const timeoutMs = Math.max(1, Math.min(BLOCK_CALL_TIMEOUT_MS / 4, deadline.remainingMs));
    const body = { $case: 'findOwners' as const, value: { key, count: this.#replicas } };
    const reply = await this.#c.connections.call(address, body, { timeoutMs, signal: deadline.signal });
    if (reply.$case === 'owners') return reply.value;
    const detail = reply.$case === 'error' ? reply.value.message : `answered with ${reply.$case}`;
    throw new RpcError('unavailable', `${address}: ${detail}`);
  }

  #learned(reply: OwnersReply): readonly string[] {
    const addresses = [...new Set(reply.owners.map((o) => o.address))];
    if (addresses.length === 0) throw new RpcError('unavailable', 'no owners');
    if (reply.rangeStart.length > 0 && reply.rangeEnd.length > 0) {
      this.#ranges.add(toHex(reply.rangeStart), toHex(reply.rangeEnd), addresses);
    }
    return addresses;
  }
}
