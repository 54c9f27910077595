import type { ServerId } from '../../base/ids.ts';
import { decodeConfChange } from '../../core/raft/conf-change.ts';
import type { MetaMember } from '../../gen/ringfs/v1/meta.ts';
import type { RaftConfState } from '../../gen/ringfs/v1/raft.ts';
import type { RaftTransport } from '../../ports/raft-transport.ts';

/** Who belongs to the cluster and where they listen. The configuration has the names, the options and the changes the addresses. */
export class Members {
  readonly #self: ServerId;
  readonly #transport: RaftTransport;
  readonly #addresses = new Map<string, string>();
  readonly #connected = new Set<string>();
  #members: readonly MetaMember[] = [];

  constructor(
    self: ServerId,
    transport: RaftTransport,
    initial: readonly { readonly id: ServerId; readonly address: string }[],
  ) {
    this.#self = self;
    this.#transport = transport;
    for (const { id, address } of initial) this.#addresses.set(id, address);
  }

  address(id: ServerId): string | undefined {
    return this.#addresses.get(id);
  }

  list(): readonly MetaMember[] {
    return this.#members;
  }

  /** A configuration change may bring addresses. */
  learn(change: Uint8Array): void {
    for (const { id, address } of decodeConfChange(change)?.steps ?? []) {
      if (address !== '') this.#addresses.set(id, address);
    }
  }

  /** Tells the transport about everybody in `confState`, and about nobody else. */
  update(confState: RaftConfState): void {
    const voters = new Set([...confState.voters, ...confState.votersOutgoing]);
    const all = new Set([...voters, ...confState.learners, ...confState.learnersNext]);
    this.#members = [...all].sort().map((id) => ({
      id,
      address: this.#addresses.get(id) ?? '',
      voter: voters.has(id),
    }));
    for (const { id, address } of this.#members) {
      if (id === this.#self || address === '') continue;
      this.#transport.setPeer(id as ServerId, address);
      this.#connected.add(id);
    }
    for (const id of [...this.#connected]) {
      if (all.has(id)) continue;
      this.#connected.delete(id);
      this.#transport.removePeer(id as ServerId);
    }
  }
}
