import { createHash } from 'node:crypto';
import { toHex } from '../../src/base/bytes.ts';
import {
  BlockErrorCode,
  type BlockReply,
  type BlockRequest,
  type OwnersReply,
  type RingMember,
} from '../../src/gen/ringfs/v1/block.ts';
import type { BodyOf } from '../../src/ports/rpc.ts';
import { MemoryNetwork } from './memory-rpc.ts';
import type { VirtualTimers } from './virtual-timers.ts';

export type BlockRequestBody = NonNullable<BodyOf<BlockRequest>>;
export type BlockReplyBody = NonNullable<BodyOf<BlockReply>>;

interface FakeNode {
  readonly address: string;
  readonly blocks: Map<string, Uint8Array>;
}

/**
 * Block nodes with one position each that know the whole ring and do as they are told: for the client's protocol.
 * A node answers for keys that it owns and otherwise names the first owner as the next hop.
 */
export class FakeRing {
  readonly network: MemoryNetwork<BlockRequest, BlockReply>;
  readonly nodes = new Map<string, FakeNode>();
  readonly requests: { readonly address: string; readonly body: BlockRequestBody }[] = [];
  readonly replicas: number;
  clusterId = 'c1';
  script:
    | ((body: BlockRequestBody, address: string) => BlockReplyBody | Promise<BlockReplyBody> | undefined)
    | undefined;

  constructor(timers: VirtualTimers, addresses: readonly string[], replicas = 3) {
    this.replicas = replicas;
    this.network = new MemoryNetwork<BlockRequest, BlockReply>({ timers }, { latencyMs: () => 1 });
    for (const address of addresses) this.join(address);
  }

  join(address: string): void {
    this.nodes.set(address, { address, blocks: new Map() });
    this.listen(address);
  }

  listen(address: string): void {
    this.network.listen(address, () => ({
      onRequest: async (body) => {
        this.requests.push({ address, body });
        const scripted = this.script?.(body, address);
        return scripted === undefined ? this.#answer(address, body) : await scripted;
      },
      onClose: () => undefined,
    }));
  }

  leave(address: string): void {
    this.nodes.delete(address);
  }

  /** Addresses of the owners of `key`, in ring order. */
  owners(key: Uint8Array): string[] {
    return this.#from(key)
      .slice(0, this.replicas)
      .map((m) => m.address);
  }

  block(address: string, key: Uint8Array): Uint8Array | undefined {
    return this.nodes.get(address)?.blocks.get(toHex(key));
  }

  store(address: string, key: Uint8Array, data: Uint8Array): void {
    this.nodes.get(address)?.blocks.set(toHex(key), data);
  }

  remove(address: string, key: Uint8Array): void {
    this.nodes.get(address)?.blocks.delete(toHex(key));
  }

  /** Addresses that requests of one kind went to, in order. */
  asked($case: BlockRequestBody['$case']): string[] {
    return this.requests.filter((r) => r.body.$case === $case).map((r) => r.address);
  }

  #members(): RingMember[] {
    const members = [...this.nodes.keys()].map((address) => ({
      position: createHash('sha256').update(address).digest(),
      nodeId: address,
      address,
    }));
    return members.sort((a, b) => Buffer.compare(a.position, b.position));
  }

  #from(key: Uint8Array): RingMember[] {
    const members = this.#members();
    const at = members.findIndex((m) => Buffer.compare(m.position, key) >= 0);
    return at < 0 ? members : [...members.slice(at), ...members.slice(0, at)];
  }

  #owners(address: string, key: Uint8Array): OwnersReply {
    const ordered = this.#from(key);
    const owners = ordered.slice(0, this.replicas);
    if (!owners.some((o) => o.address === address)) {
      return {
        done: false,
        owners: [],
        nextHop: ordered[0],
        rangeStart: new Uint8Array(0),
        rangeEnd: new Uint8Array(0),
      };
    }
    return {
      done: true,
      owners,
      nextHop: undefined,
      rangeStart: ordered.at(-1)!.position,
      rangeEnd: ordered[0]!.position,
    };
  }

  #answer(address: string, body: BlockRequestBody): BlockReplyBody {
    const node = this.nodes.get(address);
    if (node === undefined) return blockError(BlockErrorCode.NOT_OWNER);
    switch (body.$case) {
      case 'hello':
        if (body.value.clusterId !== '' && body.value.clusterId !== this.clusterId) {
          return blockError(BlockErrorCode.WRONG_CLUSTER);
        }
        return { $case: 'hello', value: { clusterId: this.clusterId, nodeId: address } };
      case 'findOwners':
        return { $case: 'owners', value: this.#owners(address, body.value.key) };
      case 'put': {
        const owners = this.owners(body.value.blockId);
        if (!owners.includes(address)) return blockError(BlockErrorCode.NOT_OWNER);
        const targets = body.value.replicate ? owners : [address];
        for (const target of targets) this.store(target, body.value.blockId, body.value.data);
        return { $case: 'put', value: { durableCopies: targets.length, existed: false } };
      }
      case 'get': {
        const data = node.blocks.get(toHex(body.value.blockId));
        if (data === undefined) return blockError(BlockErrorCode.NOT_FOUND);
        return { $case: 'get', value: { data } };
      }
      default:
        return blockError(BlockErrorCode.INVALID);
    }
  }
}

export function blockError(code: BlockErrorCode): BlockReplyBody {
  return { $case: 'error', value: { code, message: 'scripted' } };
}
