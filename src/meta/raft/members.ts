import type { ServerId } from '../../base/ids.ts';
import { RAFT_STRANGER_TICKS_MAX, RAFT_STRANGERS_MAX } from '../../base/limits.ts';
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
  /** Connected and not in the configuration, as far as it is known here: how many ticks ago they were heard. */
  readonly #strangers = new Map<string, number>();
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

  /**
   * Whoever asks is answered: a replica may have been away while a server was added that leads now, and it would learn of that only from
   * what follows its answer. One that joins knows nobody yet.
   */
  meet(id: ServerId, address: string): void {
    if (this.#connected.has(id)) {
      if (this.#strangers.has(id)) this.#strangers.set(id, 0);
      return;
    }
    if (id === this.#self || address === '' || this.#strangers.size >= RAFT_STRANGERS_MAX) return;
    this.#transport.setPeer(id, address);
    this.#connected.add(id);
    this.#strangers.set(id, 0);
  }

  /** Forgets strangers that have fallen silent, such as servers that were removed and stopped. */
  tick(): void {
    for (const [id, ticks] of this.#strangers) {
      if (ticks < RAFT_STRANGER_TICKS_MAX) {
        this.#strangers.set(id, ticks + 1);
        continue;
      }
      this.#strangers.delete(id);
      this.#connected.delete(id);
      this.#transport.removePeer(id as ServerId);
    }
  }

  /** Tells the transport about everybody in `confState`, and about nobody else until they are heard again. */
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
      this.#strangers.delete(id);
    }
    for (const id of [...this.#connected]) {
      if (all.has(id)) continue;
      this.#connected.delete(id);
      this.#strangers.delete(id);
      this.#transport.removePeer(id as ServerId);
    }
  }
}
