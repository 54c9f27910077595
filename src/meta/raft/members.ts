import type { ServerId } from '../../base/ids.ts';
import type { MetaMember } from '../../gen/ringfs/v1/meta.ts';
import type { RaftConfState } from '../../gen/ringfs/v1/raft.ts';
import type { RaftTransport } from '../../ports/raft-transport.ts';

/** Who belongs to the cluster and where they listen. */
export class Members {
  readonly #self: ServerId;
  readonly #transport: RaftTransport;
  /** As this process was started: servers may have moved since the configuration recorded them. */
  readonly #given: ReadonlyMap<string, string>;
  readonly #connected = new Set<string>();
  #addresses: ReadonlyMap<string, string> = new Map();
  #members: readonly MetaMember[] = [];

  constructor(
    self: ServerId,
    transport: RaftTransport,
    given: readonly { readonly id: ServerId; readonly address: string }[],
  ) {
    this.#self = self;
    this.#transport = transport;
    this.#given = new Map(given.map(({ id, address }) => [id, address]));
  }

  address(id: ServerId): string | undefined {
    return this.#given.get(id) ?? this.#addresses.get(id);
  }

  list(): readonly MetaMember[] {
    return this.#members;
  }

  /** A replica without a configuration answers whoever asks: it is about to be taken in. */
  meet(id: ServerId, address: string): void {
    if (this.#members.length > 0 || this.#connected.has(id) || address === '') return;
    this.#transport.setPeer(id, address);
    this.#connected.add(id);
  }

  /** Tells the transport about everybody in `confState`, and about nobody else. */
  update(confState: RaftConfState): void {
    const voters = new Set([...confState.voters, ...confState.votersOutgoing]);
    const all = new Set([...voters, ...confState.learners, ...confState.learnersNext]);
    this.#addresses = new Map(confState.addresses.map(({ id, address }) => [id, address]));
    this.#members = [...all].sort().map((id) => ({
      id,
      address: this.address(id as ServerId) ?? '',
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
