import { toHex } from '../base/bytes.ts';
import type { BlockId } from '../base/ids.ts';
import {
  BLOCK_IDS_PER_CALL_MAX,
  FSCK_CALL_BYTES_MAX,
  FSCK_CALL_TIMEOUT_MS,
  FSCK_LOOKUP_TIMEOUT_MS,
  VERIFY_BLOCKS_PER_CALL_MAX,
} from '../base/limits.ts';
import type { BlockConnections } from '../client/connections.ts';
import { Deadline } from '../client/deadline.ts';
import type { RingCache } from '../client/ring-cache.ts';
import { CopyState } from '../gen/ringfs/v1/block.ts';
import type { Timers } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';

/** A block that a file refers to. */
export interface ReferencedBlock {
  readonly id: Uint8Array;
  readonly length: number;
}

/** `unreachable`: the node did not answer. */
export type CopyFinding = 'good' | 'missing' | 'corrupt' | 'unreachable';

export interface FoundCopy {
  readonly address: string;
  readonly state: CopyFinding;
  /** Whether the block belongs there. */
  readonly owner: boolean;
}

export interface BlockFinding extends ReferencedBlock {
  readonly copies: readonly FoundCopy[];
}

export interface CensusComponents {
  readonly connections: BlockConnections;
  readonly ring: RingCache;
  readonly timers: Timers;
  readonly logger: Logger;
  /** Addresses of all block nodes of the registry. */
  readonly nodes: readonly string[];
}

/** `presence`: they say what they have; `verify`: they read and hash it; `heal`: they mend it first. */
export type Question = 'presence' | 'verify' | 'heal';

interface Share {
  readonly blocks: ReferencedBlock[];
  readonly states: CopyFinding[];
}

/** Asks the block nodes what they have. Many blocks are asked for at a time, every node only for those that it should have. */
export class Census {
  readonly #c: CensusComponents;

  constructor(components: CensusComponents) {
    this.#c = components;
  }

  /** In the order of `blocks`. Throws when the ring cannot be asked at all. */
  async take(blocks: readonly ReferencedBlock[], question: Question): Promise<BlockFinding[]> {
    const owners = [];
    for (const { id } of blocks) owners.push(await this.#owners(id));
    const findings = await this.#ask(blocks, owners, question);
    return findings.map((copies, i) => ({
      ...blocks[i]!,
      copies: copies.map((copy) => ({ ...copy, owner: true })),
    }));
  }

  /** What the nodes that are not owners have of these blocks: after a change of the ring, perhaps the last good copy. */
  async elsewhere(findings: readonly BlockFinding[], question: Question): Promise<BlockFinding[]> {
    const others = findings.map(({ copies }) => {
      const asked = new Set(copies.map((copy) => copy.address));
      return this.#c.nodes.filter((address) => !asked.has(address));
    });
    const found = await this.#ask(findings, others, question);
    return findings.map((finding, i) => {
      const more = found[i]!.filter((copy) => copy.state !== 'missing');
      return { ...finding, copies: [...finding.copies, ...more.map((copy) => ({ ...copy, owner: false }))] };
    });
  }

  /** The ring may have changed since these blocks were looked up. */
  forget(blocks: readonly ReferencedBlock[]): void {
    for (const { id } of blocks) this.#c.ring.forget(toHex(id) as BlockId);
  }

  #owners(id: Uint8Array): Promise<readonly string[]> {
    const deadline = new Deadline(this.#c.timers, FSCK_LOOKUP_TIMEOUT_MS, 'the lookup of a block');
    return this.#c.ring.owners(toHex(id) as BlockId, id, deadline);
  }

  async #ask(
    blocks: readonly ReferencedBlock[],
    addresses: readonly (readonly string[])[],
    question: Question,
  ): Promise<{ address: string; state: CopyFinding }[][]> {
    const shares = new Map<string, Share>();
    blocks.forEach((block, i) => {
      for (const address of addresses[i]!) {
        const share = shares.get(address) ?? { blocks: [], states: [] };
        shares.set(address, share);
        share.blocks.push(block);
      }
    });
    await Promise.all([...shares].map(([address, share]) => this.#askNode(address, share, question)));
    const next = new Map<string, number>();
    return blocks.map((_, i) =>
      addresses[i]!.map((address) => {
        const at = next.get(address) ?? 0;
        next.set(address, at + 1);
        return { address, state: shares.get(address)!.states[at]! };
      }),
    );
  }

  /** One call after the other: a node reads for one at a time. */
  async #askNode(address: string, { blocks, states }: Share, question: Question): Promise<void> {
    const idsMax = question === 'presence' ? BLOCK_IDS_PER_CALL_MAX : VERIFY_BLOCKS_PER_CALL_MAX;
    for (let from = 0; from < blocks.length; ) {
      let end = from + 1;
      let bytes = blocks[from]!.length;
      while (end < blocks.length && end - from < idsMax) {
        bytes += blocks[end]!.length;
        if (question !== 'presence' && bytes > FSCK_CALL_BYTES_MAX) break;
        end++;
      }
      const ids = blocks.slice(from, end).map((block) => block.id);
      states.push(...(await this.#call(address, ids, question)));
      from = end;
    }
  }

  async #call(address: string, ids: Uint8Array[], question: Question): Promise<CopyFinding[]> {
    const { connections, logger } = this.#c;
    const body =
      question === 'presence'
        ? { $case: 'has' as const, value: { blockIds: ids } }
        : { $case: 'verify' as const, value: { blockIds: ids, heal: question === 'heal' } };
    try {
      const reply = await connections.call(address, body, { timeoutMs: FSCK_CALL_TIMEOUT_MS });
      if (reply.$case === 'has' && reply.value.present.length === ids.length)
        return reply.value.present.map((there) => (there ? 'good' : 'missing'));
      if (reply.$case === 'verify' && reply.value.states.length === ids.length)
        return reply.value.states.map(findingOf);
      const detail = reply.$case === 'error' ? reply.value.message : `answered with ${reply.$case}`;
      logger.warn({ address, detail }, 'a block node did not tell what it has');
    } catch (error) {
      logger.warn({ address, err: error }, 'a block node could not be asked');
    }
    return ids.map(() => 'unreachable');
  }
}

function findingOf(state: CopyState): CopyFinding {
  if (state === CopyState.GOOD) return 'good';
  return state === CopyState.MISSING ? 'missing' : 'corrupt';
}
