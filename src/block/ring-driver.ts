import { fromHex } from '../base/bytes.ts';
import {
  RING_ALONE_AFTER_MS,
  RING_ALONE_WITHOUT_SEEDS_MS,
  RING_CALL_TIMEOUT_MS,
  RING_CONTACTS_MAX,
  RING_LOOKUP_HOPS_MAX,
  RING_RECENT_MS,
  RING_SETTLE_MS,
  RING_STALL_MS,
  RING_TICK_MS,
} from '../base/limits.ts';
import { ChordNode } from '../core/chord/chord-node.ts';
import type { Position } from '../core/chord/identifiers.ts';
import type { Placement } from '../core/chord/placement.ts';
import type { ChordMessage, ChordReply, ChordRequest, Member, OwnersAnswer } from '../core/chord/types.ts';
import { BlockErrorCode } from '../gen/ringfs/v1/block.ts';
import type { TimerHandle, Timers } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import { RpcError } from '../ports/rpc.ts';
import type { Peers } from './peers.ts';
import {
  BlockRequestError,
  chordReplyFromWire,
  chordRequestToWire,
  memberFromWire,
  positionFromWire,
} from './wire.ts';

export interface RingDriverComponents {
  readonly peers: Peers;
  readonly timers: Timers;
  readonly logger: Logger;
}

export interface RingDriverOptions {
  readonly nodeId: string;
  readonly address: string;
  readonly positions: readonly Position[];
  readonly replicas: number;
  /** Addresses at which other nodes may be found; asked again and again. */
  readonly seeds: () => readonly string[];
  /** The ring around this node has changed. Called at most once per tick. */
  readonly onChange: () => void;
}

export type DoneAnswer = Extract<OwnersAnswer, { done: true }>;

/** Ticks between two contacts with other parts of the ring: while young or alone, while a node is away, and else. */
const CONTACT_TICKS_YOUNG = 3;
const CONTACT_TICKS_AWAY = 20;
const CONTACT_TICKS = 100;
const YOUNG_TICKS = 50;

/** Gives the Chord core its time and carries its messages. */
export class RingDriver {
  readonly #components: RingDriverComponents;
  readonly #options: RingDriverOptions;
  readonly #core: ChordNode;
  /** Where members of the ring were seen, the least recently seen first. */
  readonly #contacts = new Map<string, true>();
  /** Nodes in the ring at the last tick, and when others were lost. */
  #present: ReadonlySet<string> = new Set();
  readonly #lost = new Map<string, number>();
  #lastTickMs = 0;
  #stalledAtMs = Number.NEGATIVE_INFINITY;
  #timer: TimerHandle | undefined;
  #ticks = 0;
  #nextContact = 0;
  #seenVersion = -1;
  #joined = false;
  #startedAtMs = 0;
  #running = false;

  constructor(components: RingDriverComponents, options: RingDriverOptions) {
    this.#components = components;
    this.#options = options;
    const { nodeId, address, positions, replicas } = options;
    this.#core = new ChordNode({ nodeId, address, positions, replicas });
  }

  /** Whether this node has found its ring, or has waited long enough to be one of its own. */
  get joined(): boolean {
    return this.#joined;
  }

  get core(): ChordNode {
    return this.#core;
  }

  start(): void {
    this.#running = true;
    this.#startedAtMs = this.#components.timers.nowMs();
    this.#lastTickMs = this.#startedAtMs;
    this.#tick();
  }

  /** Tell the neighbours, without waiting for longer than a dead one takes. */
  async leave(): Promise<void> {
    if (!this.#running) return;
    this.#core.leave();
    await Promise.all(this.#core.takeMessages().map((message) => this.#send(message)));
  }

  stop(): void {
    this.#running = false;
    this.#joined = false;
    this.#timer?.cancel();
  }

  nodeDown(nodeId: string): void {
    if (!this.#running) return;
    this.#core.nodeDown(nodeId);
    this.#flush();
  }

  nodeUp(nodeId: string): void {
    this.#core.nodeHeard(nodeId);
  }

  /** Where blocks may lie from now on. */
  place(placement: Placement): void {
    this.#core.place(placement);
  }

  /** Undefined: there is no such virtual node here. */
  handle(request: ChordRequest): ChordReply | undefined {
    if (!this.#running) return undefined;
    this.#components.peers.heardFrom(request.sender.address);
    const reply = this.#core.handle(request);
    this.#flush();
    return reply;
  }

  /** From this node's own knowledge. */
  owners(key: Position, count: number): OwnersAnswer {
    return this.#core.owners(key, count);
  }

  /**
   * The owners for storing. While they are too few for a majority of the nodes that there were a moment ago, waits: two
   * rings may be merging, or nodes that only stalled come back. Else a node would take itself for the only owner.
   */
  async settledOwners(key: Position, count: number): Promise<DoneAnswer> {
    const { timers } = this.#components;
    const deadline = timers.nowMs() + RING_SETTLE_MS;
    for (;;) {
      const answer = await this.lookup(key, count);
      const expected = Math.min(count, this.#recentNodes());
      if (answer.owners.length > expected / 2 || timers.nowMs() >= deadline) return answer;
      await timers.sleep(RING_TICK_MS);
    }
  }

  /** Asks other nodes where its own knowledge does not do. Throws BlockRequestError UNAVAILABLE. */
  async lookup(key: Position, count: number): Promise<DoneAnswer> {
    let answer = this.#core.owners(key, count);
    for (let hops = 0; !answer.done; hops++) {
      if (hops >= RING_LOOKUP_HOPS_MAX) {
        throw new BlockRequestError(BlockErrorCode.UNAVAILABLE, 'ring lookup takes too many hops');
      }
      answer = await this.#ask(answer.nextHop, key, count);
    }
    return answer;
  }

  async #ask(member: Member, key: Position, count: number): Promise<OwnersAnswer> {
    const body = { $case: 'findOwners', value: { key: fromHex(key), count } } as const;
    try {
      const reply = await this.#components.peers.call(member.address, body, {
        timeoutMs: RING_CALL_TIMEOUT_MS,
      });
      if (reply.$case === 'owners') {
        const { done, owners, nextHop, rangeStart, rangeEnd } = reply.value;
        if (!done && nextHop !== undefined) return { done: false, nextHop: memberFromWire(nextHop) };
        if (done && owners.length > 0) {
          return {
            done: true,
            owners: owners.map(memberFromWire),
            rangeStart: positionFromWire(rangeStart),
            rangeEnd: positionFromWire(rangeEnd),
          };
        }
      }
    } catch (error) {
      this.#components.logger.debug({ address: member.address, error }, 'ring lookup failed');
    }
    throw new BlockRequestError(BlockErrorCode.UNAVAILABLE, `no answer about the ring from ${member.nodeId}`);
  }

  /** Nodes that take blocks. */
  #recentNodes(): number {
    const now = this.#components.timers.nowMs();
    for (const [nodeId, lostAtMs] of this.#lost)
      if (now - lostAtMs > RING_RECENT_MS) this.#lost.delete(nodeId);
    const known = this.#core.knownMembers().map((m) => m.nodeId);
    const recent = new Set([...known, ...this.#present, ...this.#lost.keys()]);
    return [...recent].filter((nodeId) => this.#core.placement.takesBlocks(nodeId)).length;
  }

  /** Whether this process itself stood still: what it did not hear meanwhile says nothing about others. */
  #hasStalled(): boolean {
    const now = this.#components.timers.nowMs();
    if (now - this.#lastTickMs > RING_STALL_MS) this.#stalledAtMs = now;
    return now - this.#stalledAtMs < RING_CALL_TIMEOUT_MS;
  }

  #tick(): void {
    if (!this.#running) return;
    this.#hasStalled();
    this.#lastTickMs = this.#components.timers.nowMs();
    this.#timer = this.#components.timers.after(RING_TICK_MS, () => this.#tick());
    this.#ticks++;
    this.#core.tick();
    const young = this.#ticks < YOUNG_TICKS || !this.#joined;
    if (this.#ticks % (young ? CONTACT_TICKS_YOUNG : CONTACT_TICKS) === 1) this.#contact(this.#addresses());
    else if (this.#ticks % CONTACT_TICKS_AWAY === 1) this.#contact(this.#awayAddresses());
    this.#flush();
    if (this.#core.version !== this.#seenVersion) {
      this.#seenVersion = this.#core.version;
      this.#remember();
      this.#options.onChange();
    }
    this.#checkJoined();
  }

  #addresses(): string[] {
    const all = new Set([...this.#options.seeds(), ...this.#contacts.keys()]);
    all.delete(this.#options.address);
    return [...all];
  }

  /** Where nobody of the present ring is: a dead node, or the other side of a partition. */
  #awayAddresses(): string[] {
    const present = new Set(this.#core.knownMembers().map((m) => m.address));
    return this.#addresses().filter((address) => !present.has(address));
  }

  /** Look for this node's places in another part of the ring, if there is one: each time at another address. */
  #contact(addresses: readonly string[]): void {
    if (addresses.length > 0) this.#core.contact(addresses[this.#nextContact++ % addresses.length]!);
  }

  #remember(): void {
    const members = this.#core.knownMembers();
    for (const { address } of members) {
      this.#contacts.delete(address);
      this.#contacts.set(address, true);
    }
    const present = new Set(members.map((m) => m.nodeId));
    const now = this.#components.timers.nowMs();
    for (const nodeId of this.#present) if (!present.has(nodeId)) this.#lost.set(nodeId, now);
    for (const nodeId of present) this.#lost.delete(nodeId);
    this.#present = present;
    for (const address of this.#contacts.keys()) {
      if (this.#contacts.size <= RING_CONTACTS_MAX) break;
      this.#contacts.delete(address);
    }
  }

  #checkJoined(): void {
    if (this.#joined) return;
    const { timers, logger } = this.#components;
    const { nodeId, address } = this.#options;
    const others = [...this.#core.machines].some((other) => other !== nodeId);
    const seeds = this.#options.seeds().some((seed) => seed !== address);
    // Until its lists are complete, it would name too few owners.
    if (others && this.#core.settled) this.#joined = true;
    const patienceMs = seeds || others ? RING_ALONE_AFTER_MS : RING_ALONE_WITHOUT_SEEDS_MS;
    if (!this.#joined && timers.nowMs() - this.#startedAtMs < patienceMs) return;
    this.#joined = true;
    logger.info({ nodeId, alone: !others }, 'joined the ring');
  }

  #flush(): void {
    for (const message of this.#core.takeMessages()) void this.#send(message);
  }

  /** Never rejects: the core is told what became of the message. */
  async #send(message: ChordMessage): Promise<void> {
    const { peers, logger } = this.#components;
    const { id, address } = message;
    let failure: 'unreachable' | 'member-unknown' = 'unreachable';
    try {
      const body = { $case: 'ring', value: chordRequestToWire(message.request) } as const;
      const reply = await peers.call(address, body, { timeoutMs: RING_CALL_TIMEOUT_MS });
      // An address that another node has taken over is not the member that was asked.
      const answeredBy = peers.nodeAt(address);
      const same = message.nodeId === undefined || answeredBy === message.nodeId;
      if (reply.$case === 'ring' && same) {
        this.#core.reply(id, chordReplyFromWire(reply.value));
        this.#flush();
        return;
      }
      if (reply.$case === 'error' && reply.value.code !== BlockErrorCode.INVALID) {
        // Stopping, or of another cluster: no member of this ring.
        if (message.nodeId !== undefined) this.#core.nodeDown(message.nodeId);
      } else {
        failure = 'member-unknown';
      }
    } catch (error) {
      logger.debug({ address, error }, 'ring message failed');
      const late = error instanceof RpcError && error.code === 'deadline';
      if (!late || !this.#hasStalled()) {
        peers.giveUp(address);
        if (message.nodeId !== undefined) this.#core.nodeDown(message.nodeId);
      }
    }
    this.#core.failed(id, failure);
    this.#flush();
  }
}
