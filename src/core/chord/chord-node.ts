import { assert, defined, unreachable } from '../../base/assert.ts';
import { addPowerOfTwo, arcFraction, isBetween, type Position } from './identifiers.ts';
import { closestOwn, ownersOf, successorOf } from './owners.ts';
import { ANYWHERE, type Placement } from './placement.ts';
import {
  isSufficient,
  joinSegments,
  reconcile,
  type Segment,
  type SuccessorList,
  type SuccessorListRules,
  segmentOf,
} from './successor-list.ts';
import {
  CHORD_LIMITS,
  type ChordBody,
  type ChordConfig,
  type ChordLimits,
  type ChordMessage,
  type ChordReply,
  type ChordRequest,
  type Member,
  type OwnersAnswer,
} from './types.ts';
import { sameMember, sameMembers, type VirtualNode, virtualNode } from './virtual-node.ts';

/** A machine to ask, its name if that is known. */
type Via = { readonly address: string; readonly nodeId: string | undefined };

/** What an outstanding request is for. */
type Purpose =
  | { readonly kind: 'stabilize'; readonly node: VirtualNode; readonly asked: Member }
  /** Found to lie closer than the successor, as its predecessor or by looking up this node's place: adopted when it answers. */
  | {
      readonly kind: 'candidate';
      readonly node: VirtualNode;
      readonly asked: Member;
      /** Who named it when this node's place was looked up, and how many were asked for that. */
      readonly placing?: { readonly via: Via; readonly hops: number };
    }
  | { readonly kind: 'extend'; readonly node: VirtualNode; readonly asked: Member }
  | { readonly kind: 'check'; readonly node: VirtualNode; readonly asked: Member }
  | { readonly kind: 'notify'; readonly asked: Member }
  | { readonly kind: 'place'; readonly node: VirtualNode; readonly via: Via; readonly hops: number }
  | { readonly kind: 'finger'; readonly node: VirtualNode; readonly bit: number; readonly hops: number }
  | { readonly kind: 'leave' };

/** So many attempts to find a place are worth the answer that nobody behind it is known. */
const LAST_KNOWN_TRIES = 3;
const NO_SEGMENT: Segment = { members: [], end: 'open' };
const NO_REPLY: ChordReply = { predecessor: undefined, successors: [], done: true, result: undefined };

/**
 * Chord for all virtual nodes of one machine, after Stoica et al. (2001) as corrected by P. Zave ("Reasoning about
 * identifier spaces: how to make Chord correct", 2017). Pure: the caller brings time (`tick`), carries the messages
 * and reports their fate.
 *
 * Two things differ from the papers. A machine's virtual nodes form a ring of their own from the start, and rings
 * merge: `contact` looks up each virtual node's place in the ring of another machine, which is how a machine joins and
 * how the halves of a partitioned ring find together again. And liveness is a machine's: all virtual nodes of one that
 * does not answer are dropped at once, and for a while nobody's word brings them back.
 */
export class ChordNode {
  readonly nodeId: string;
  readonly address: string;
  readonly #limits: ChordLimits;
  #rules: SuccessorListRules & { readonly placement: Placement };
  /** Sorted by position. */
  readonly #nodes: readonly VirtualNode[];
  readonly #byPosition: ReadonlyMap<Position, VirtualNode>;
  readonly #pending = new Map<number, Purpose>();
  /** Machines that did not answer, until this tick. */
  readonly #suspects = new Map<string, number>();
  /** Named in the segments. */
  #machines: ReadonlySet<string> = new Set();
  #outbox: ChordMessage[] = [];
  #nextId = 1;
  #now = 0;
  #version = 0;
  #left = false;

  constructor(config: ChordConfig) {
    assert(config.positions.length > 0, 'a ring node has at least one virtual node');
    assert(new Set(config.positions).size === config.positions.length, 'virtual nodes differ');
    this.nodeId = config.nodeId;
    this.address = config.address;
    this.#limits = { ...CHORD_LIMITS, ...config.limits };
    const own = [...config.positions]
      .sort()
      .map((position): Member => ({ position, nodeId: config.nodeId, address: config.address }));
    this.#rules = {
      limits: this.#limits,
      distinctNodes: config.replicas + 1,
      placement: ANYWHERE,
      isExcluded: (member) => this.#isExcluded(member),
      own,
    };
    const step = this.#limits.stabilizeTicks / own.length;
    this.#nodes = own.map((self, i) => virtualNode(self, 0, Math.floor(i * step)));
    this.#byPosition = new Map(this.#nodes.map((node) => [node.self.position, node]));
    this.#nodes.forEach((node, i) => {
      node.segment = this.#ownSegment(node);
      node.predecessor = own.length > 1 ? own[(i + own.length - 1) % own.length] : undefined;
    });
    this.#deriveLists();
  }

  /** Changes whenever a successor list or a predecessor does. */
  get version(): number {
    return this.#version;
  }

  get virtualNodes(): readonly VirtualNode[] {
    return this.#nodes;
  }

  get ownMembers(): readonly Member[] {
    return this.#rules.own;
  }

  /** Machines among the successors of this one's virtual nodes, itself perhaps included. */
  get machines(): ReadonlySet<string> {
    return this.#machines;
  }

  /** Every virtual node knows its place and enough of those behind it. */
  get settled(): boolean {
    return this.#nodes.every((node) => this.#isReliable(node) && isSufficient(node.successors, this.#rules));
  }

  /** Taken for dead, or not heard of since. */
  isSuspected(nodeId: string): boolean {
    return this.#suspects.has(nodeId);
  }

  /** Every member that this machine knows of, its own included, in ring order from the lowest position. */
  knownMembers(): Member[] {
    const known = new Map<Position, Member>();
    for (const node of this.#nodes) {
      for (const member of node.successors.members) known.set(member.position, member);
      if (node.predecessor !== undefined) known.set(node.predecessor.position, node.predecessor);
      for (const member of node.fingers.values()) known.set(member.position, member);
    }
    for (const member of this.#rules.own) known.set(member.position, member);
    return [...known.values()].sort((a, b) => (a.position < b.position ? -1 : 1));
  }

  /** Fraction of the circle whose keys have this machine as their first owner. */
  ringShare(): number {
    let share = 0;
    for (const { self, predecessor } of this.#nodes) {
      if (predecessor !== undefined) share += arcFraction(predecessor.position, self.position);
      else if (this.#nodes.length === 1) share += 1;
    }
    return Math.min(1, share);
  }

  owners(key: Position, count: number): OwnersAnswer {
    return ownersOf(this.#nodes, key, count, this.#rules.placement);
  }

  get placement(): Placement {
    return this.#rules.placement;
  }

  /** Where blocks may lie from now on: owners change, and lists may have to reach further. */
  place(placement: Placement): void {
    this.#rules = { ...this.#rules, placement };
    this.#deriveLists();
    for (const node of this.#nodes) this.#wake(node);
  }

  /** Messages to send since the last call, in order. */
  takeMessages(): ChordMessage[] {
    const out = this.#outbox;
    this.#outbox = [];
    return out;
  }

  /** One unit of time has passed. */
  tick(): void {
    this.#now++;
    if (this.#left) return;
    for (const [nodeId, until] of this.#suspects) if (until <= this.#now) this.#suspects.delete(nodeId);
    for (const node of this.#nodes) {
      if (node.stabilizeAt <= this.#now && !node.stabilizing) this.#stabilize(node);
      if (node.checkPredecessorAt <= this.#now) this.#checkPredecessor(node);
      if (node.fixFingerAt <= this.#now) this.#fixFinger(node);
    }
  }

  /** Find this machine's places in the ring that `address` belongs to. Cheap when they are known there already. */
  contact(address: string): void {
    if (this.#left || address === this.address) return;
    for (const node of this.#nodes) this.#place(node, { address, nodeId: undefined });
  }

  /** Tell the neighbours and fall silent. */
  leave(): void {
    if (this.#left) return;
    const told = new Set<string>();
    for (const node of this.#nodes) {
      const others = node.successors.members.filter((m) => m.nodeId !== this.nodeId);
      const predecessor = node.predecessor?.nodeId === this.nodeId ? undefined : node.predecessor;
      for (const neighbor of [predecessor, others[0]]) {
        if (neighbor === undefined || told.has(neighbor.nodeId)) continue;
        told.add(neighbor.nodeId);
        const body: ChordBody = { kind: 'leave', predecessor, successors: others };
        this.#send(neighbor, neighbor.position, node.self, body, { kind: 'leave' });
      }
    }
    this.#left = true;
  }

  /** The answer to another machine's request. Undefined: there is no such virtual node here. */
  handle(request: ChordRequest): ChordReply | undefined {
    if (this.#left || request.sender.nodeId === this.nodeId) return undefined;
    const target = request.target === undefined ? this.#nodes[0] : this.#byPosition.get(request.target);
    if (target === undefined) return undefined;
    if (request.body.kind === 'leave') {
      this.#handleLeave(request.sender, target, request.body.successors);
      return NO_REPLY;
    }
    this.nodeHeard(request.sender.nodeId);
    switch (request.body.kind) {
      case 'neighbors':
        return this.#neighborsOf(target);
      case 'notify':
        this.#rectify(target, request.sender);
        return NO_REPLY;
      case 'find': {
        const { key } = request.body;
        if (!this.#isReliable(closestOwn(this.#nodes, key))) return NO_REPLY;
        const found = successorOf(this.#nodes, key);
        return { ...NO_REPLY, done: found.done, result: found.member };
      }
      default:
        return unreachable(request.body);
    }
  }

  /** The answer to message `id`. */
  reply(id: number, reply: ChordReply): void {
    const purpose = this.#takePending(id);
    if ('asked' in purpose) this.nodeHeard(purpose.asked.nodeId);
    switch (purpose.kind) {
      case 'stabilize':
        this.#onSuccessor(purpose.node, purpose.asked, reply);
        break;
      case 'candidate':
        this.#onCandidate(purpose, reply);
        break;
      case 'extend':
        this.#onExtension(purpose.node, purpose.asked, reply);
        break;
      case 'place':
        this.#onPlace(purpose, reply);
        break;
      case 'finger':
        this.#onFinger(purpose.node, purpose.bit, purpose.hops, reply);
        break;
      case 'check':
      case 'notify':
      case 'leave':
        break;
      default:
        unreachable(purpose);
    }
  }

  /**
   * Message `id` got no answer. `member-unknown`: the machine lives but has no such virtual node. Otherwise the caller
   * also reports `nodeDown` once it is sure.
   */
  failed(id: number, reason: 'unreachable' | 'member-unknown'): void {
    const purpose = this.#takePending(id);
    if (purpose.kind === 'stabilize') {
      purpose.node.stabilizing = false;
      purpose.node.stabilizeAt = this.#now + 1;
    }
    if (reason === 'member-unknown' && 'asked' in purpose) {
      const { position } = purpose.asked;
      this.#drop((member) => member.position === position);
    }
    if (purpose.kind === 'candidate' && purpose.placing !== undefined)
      this.#placeBehind(purpose, purpose.placing);
  }

  /** A machine does not answer: forget its virtual nodes, and do not believe in them for a while. */
  nodeDown(nodeId: string): void {
    if (nodeId === this.nodeId) return;
    this.#suspects.set(nodeId, this.#now + this.#limits.suspectTicks);
    this.#drop((member) => member.nodeId === nodeId);
  }

  /** A machine has shown that it lives. */
  nodeHeard(nodeId: string): void {
    this.#suspects.delete(nodeId);
  }

  /** Asks `via` who follows `behind`. */
  #place(node: VirtualNode, via: Via, behind = node.self, hops = 0): void {
    const body: ChordBody = { kind: 'find', key: justBehind(behind) };
    this.#send(via, undefined, node.self, body, { kind: 'place', node, via, hops });
  }

  /**
   * The member that was named as the next one is gone. Who named it has no cause to ask it, and keeps it in its lists until this node,
   * which lies before it, tells a list without it; and that needs a place. So it is asked what follows behind.
   */
  #placeBehind(
    { node, asked }: { readonly node: VirtualNode; readonly asked: Member },
    { via, hops }: { readonly via: Via; readonly hops: number },
  ): void {
    if (node.placed) return;
    if (hops >= this.#limits.hopsMax) {
      node.placeTries++;
      return;
    }
    this.#place(node, via, asked, hops + 1);
  }

  #stabilize(node: VirtualNode): void {
    const others = node.placed ? [] : this.#otherMachines();
    if (others.length > 0) {
      // Machines that have all lost their places wait for each other.
      if (node.placeTries > this.#limits.placeTriesMax) this.#setPlaced(node);
      else this.#place(node, others[this.#now % others.length]!);
    }
    const { stabilizeTicks, stabilizeQuietTicks } = this.#limits;
    const pause = node.quietRounds >= 3 ? stabilizeQuietTicks : stabilizeTicks;
    node.stabilizeAt = this.#now + (others.length > 0 ? 1 : pause);
    let successor = node.successors.members[0];
    if (successor === undefined && node.predecessor !== undefined) {
      // A ring of one to which another one has come: it is the successor too.
      this.#setSuccessors(node, reconcile(node.self.position, [node.predecessor], this.#rules));
      successor = node.successors.members[0];
    }
    if (successor === undefined) return;
    node.stabilizing = true;
    this.#askNeighbors(node, successor, { kind: 'stabilize', node, asked: successor });
  }

  #onSuccessor(node: VirtualNode, asked: Member, reply: ChordReply): void {
    node.stabilizing = false;
    const first = node.successors.members[0];
    if (first?.position !== asked.position) return;
    const between = reply.predecessor;
    const { position } = node.self;
    this.#setSuccessors(node, this.#listFrom(node, asked, reply));
    if (!isSufficient(node.successors, this.#rules)) node.quietRounds = 0;
    this.#extend(node);
    const closer =
      between !== undefined &&
      !this.#isExcluded(between) &&
      isBetween(position, between.position, asked.position) &&
      !this.#byPosition.has(between.position);
    if (closer) this.#askNeighbors(node, between, { kind: 'candidate', node, asked: between });
    else if (between?.position !== position) this.#notify(node, asked);
  }

  /** A live member between a node and its successor becomes the successor. */
  #onCandidate({ node, asked, placing }: Purpose & { kind: 'candidate' }, reply: ChordReply): void {
    const first = node.successors.members[0];
    const { position } = node.self;
    if (first !== undefined && !isBetween(position, asked.position, first.position)) return;
    if (asked.position === position || this.#isExcluded(asked)) return;
    if (knowsOnlyItself(asked, reply) && !this.#alone) {
      // It is about to join. Before it has found its place, nothing but its own virtual nodes lies behind it.
      this.#notify(node, asked);
      this.#wake(node);
      return;
    }
    const list = this.#listFrom(node, asked, reply);
    if (placing !== undefined) this.#setPlaced(node);
    this.#setSuccessors(node, list);
    if (reply.predecessor?.position !== position) this.#notify(node, asked);
    this.#wake(node);
  }

  /** The list of `node` that begins with `asked` and goes on with what that one told. */
  #listFrom(node: VirtualNode, asked: Member, reply: ChordReply): SuccessorList {
    const { position } = node.self;
    // Who has just come, perhaps from a restart, skips all others.
    const successors = knowsOnlyItself(asked, reply) ? [] : reply.successors;
    const told = reconcile(position, [asked, ...successors], this.#rules);
    const last = told.members.at(-1);
    if (last === undefined || isSufficient(told, this.#rules)) return told;
    // It has not found all its places yet: what we knew of those behind the last one is still true, if we have found ours.
    const known = node.placed ? node.successors.members : [];
    const behind = known.filter((m) => isBetween(last.position, m.position, position));
    return { members: reconcile(position, [...told.members, ...behind], this.#rules).members, whole: false };
  }

  #extend(node: VirtualNode): void {
    const last = node.segment.members.at(-1);
    if (last === undefined || node.segment.end !== 'open' || isSufficient(node.successors, this.#rules))
      return;
    this.#askNeighbors(node, last, { kind: 'extend', node, asked: last });
  }

  #onExtension(node: VirtualNode, asked: Member, reply: ChordReply): void {
    if (node.segment.members.at(-1)?.position !== asked.position) return;
    const told = [...node.segment.members, ...reply.successors];
    this.#setSuccessors(node, reconcile(node.self.position, told, this.#rules));
  }

  #notify(node: VirtualNode, successor: Member): void {
    const local = this.#byPosition.get(successor.position);
    if (local !== undefined) this.#rectify(local, node.self);
    else
      this.#send(
        successor,
        successor.position,
        node.self,
        { kind: 'notify' },
        { kind: 'notify', asked: successor },
      );
  }

  /** Zave's rectify: a closer predecessor replaces the present one, anyone replaces one that is gone. */
  #rectify(node: VirtualNode, candidate: Member): void {
    const { position } = node.self;
    if (candidate.position === position || this.#isExcluded(candidate)) return;
    const present = node.predecessor;
    const renewed = present?.position === candidate.position && !sameMember(present, candidate);
    if (present !== undefined && !renewed && !isBetween(present.position, candidate.position, position))
      return;
    node.predecessor = candidate;
    this.#version++;
    if (this.#alone) this.contact(candidate.address);
    if (node.successors.members.length === 0) this.#wake(node);
    // The one that was closest until now has a new successor to find.
    const former = present === undefined ? undefined : this.#byPosition.get(present.position);
    if (former !== undefined) this.#wake(former);
  }

  #checkPredecessor(node: VirtualNode): void {
    node.checkPredecessorAt = this.#now + this.#limits.checkPredecessorTicks;
    const { predecessor } = node;
    if (predecessor === undefined || this.#byPosition.has(predecessor.position)) return;
    this.#askNeighbors(node, predecessor, { kind: 'check', node, asked: predecessor });
  }

  /** One finger at a time, the farthest first, down to where the successor list takes over. */
  #fixFinger(node: VirtualNode): void {
    node.fixFingerAt = this.#now + this.#limits.fixFingerTicks;
    const last = node.successors.members.at(-1);
    if (node.successors.whole || last === undefined) {
      node.fingers.clear();
      return;
    }
    const bit = node.nextFinger;
    const start = addPowerOfTwo(node.self.position, bit);
    if (isBetween(node.self.position, start, last.position) || bit === 0) {
      for (const known of node.fingers.keys()) if (known <= bit) node.fingers.delete(known);
      node.nextFinger = 255;
      return;
    }
    node.nextFinger = bit - 1;
    const found = successorOf(this.#nodes, start);
    if (found.done) this.#setFinger(node, bit, found.member);
    else this.#find(found.member, node, start, { kind: 'finger', node, bit, hops: 0 });
  }

  #onFinger(node: VirtualNode, bit: number, hops: number, reply: ChordReply): void {
    const { result } = reply;
    if (result === undefined || this.#isExcluded(result)) return;
    if (reply.done) this.#setFinger(node, bit, result);
    else if (hops < this.#limits.hopsMax && result.nodeId !== this.nodeId) {
      const start = addPowerOfTwo(node.self.position, bit);
      this.#find(result, node, start, { kind: 'finger', node, bit, hops: hops + 1 });
    }
  }

  #setFinger(node: VirtualNode, bit: number, member: Member): void {
    if (member.nodeId === this.nodeId) node.fingers.delete(bit);
    else node.fingers.set(bit, member);
  }

  #onPlace({ node, via, hops }: Purpose & { kind: 'place' }, reply: ChordReply): void {
    const { result } = reply;
    if (result === undefined) {
      node.placeTries++;
      return;
    }
    if (!reply.done) {
      // Who has us as the last that it knows cannot tell what follows, and waits to hear it from us.
      node.placeTries += result.position === node.self.position ? LAST_KNOWN_TRIES : 0;
      if (this.#isExcluded(result)) node.placeTries++;
      if (hops >= this.#limits.hopsMax || this.#isExcluded(result) || result.nodeId === this.nodeId) return;
      this.#find(result, node, justBehind(node.self), { kind: 'place', node, via: result, hops: hops + 1 });
      return;
    }
    const first = node.successors.members[0];
    const { position } = node.self;
    // One of our own follows, or one that we had in a life before: nobody lies in between.
    if (first?.position === result.position || result.nodeId === this.nodeId) {
      this.#setPlaced(node);
      return;
    }
    // The other ring told us of it, so an older suspicion must not keep the rings apart: it is asked before it is adopted.
    if (first === undefined || isBetween(position, result.position, first.position)) {
      this.#askNeighbors(node, result, { kind: 'candidate', node, asked: result, placing: { via, hops } });
    } else {
      // The other ring does not know us yet: its member there has us as a closer predecessor.
      this.#setPlaced(node);
      this.#notify(node, result);
    }
  }

  #find(via: Member, node: VirtualNode, key: Position, purpose: Purpose): void {
    this.#send(via, via.position, node.self, { kind: 'find', key }, purpose);
  }

  #handleLeave(sender: Member, target: VirtualNode, successors: readonly Member[]): void {
    this.nodeDown(sender.nodeId);
    if (target.successors.members.length > 0 && !isOnlyOwn(target, this.nodeId)) return;
    const others = successors.filter((m) => m.nodeId !== sender.nodeId);
    if (others.length > 0) this.#setSuccessors(target, reconcile(target.self.position, others, this.#rules));
  }

  #askNeighbors(node: VirtualNode, member: Member, purpose: Purpose): void {
    const local = this.#byPosition.get(member.position);
    if (local === undefined) {
      this.#send(member, member.position, node.self, { kind: 'neighbors' }, purpose);
      return;
    }
    const id = this.#nextId++;
    this.#pending.set(id, purpose);
    this.reply(id, this.#neighborsOf(local));
  }

  #neighborsOf(node: VirtualNode): ChordReply {
    const successors = this.#isReliable(node) ? node.successors.members : [];
    return { ...NO_REPLY, predecessor: node.predecessor, successors };
  }

  /** Whether the list of `node` skips nobody, as far as anybody knows. */
  #isReliable(node: VirtualNode): boolean {
    return node.placed || this.#alone;
  }

  /** This machine knows of no other. */
  get #alone(): boolean {
    return this.#otherMachines().length === 0;
  }

  #send(to: Via, target: Position | undefined, sender: Member, body: ChordBody, purpose: Purpose): void {
    const id = this.#nextId++;
    this.#pending.set(id, purpose);
    this.#outbox.push({ id, address: to.address, nodeId: to.nodeId, request: { target, sender, body } });
  }

  #takePending(id: number): Purpose {
    const purpose = defined(this.#pending.get(id), 'pending ring message');
    this.#pending.delete(id);
    return purpose;
  }

  #isExcluded(member: Member): boolean {
    // A name that is ours at a position that is not: what we were before a restart with fewer virtual nodes.
    if (member.nodeId === this.nodeId) return !this.#byPosition.has(member.position);
    return this.#suspects.has(member.nodeId);
  }

  #setSuccessors(node: VirtualNode, list: SuccessorList): void {
    this.#setSegment(
      node,
      segmentOf(list, (position) => this.#byPosition.has(position)),
    );
  }

  #setSegment(node: VirtualNode, segment: Segment): void {
    if (node.segment.end === segment.end && sameMembers(node.segment.members, segment.members)) {
      node.quietRounds++;
      return;
    }
    node.segment = segment;
    this.#wake(node);
    this.#deriveLists();
  }

  #setPlaced(node: VirtualNode): void {
    if (node.placed) return;
    node.placed = true;
    this.#deriveLists();
  }

  #deriveLists(): void {
    this.#version++;
    const alone = this.#alone;
    for (const node of this.#nodes) {
      // A machine that is joining tells nobody what it does not know: lists go on through nodes that found their place.
      const segmentAt = (position: Position): Segment => {
        const at = defined(this.#byPosition.get(position), 'own node');
        return alone || at.placed || at === node ? at.segment : NO_SEGMENT;
      };
      node.successors = joinSegments(node.self.position, segmentAt, this.#rules);
    }
    this.#wakeIfMachinesChanged();
  }

  /** A machine that came or went is everywhere on the circle: every virtual node has something to find out. */
  #wakeIfMachinesChanged(): void {
    const machines = new Set<string>();
    for (const node of this.#nodes) for (const member of node.segment.members) machines.add(member.nodeId);
    if (machines.size === this.#machines.size && [...machines].every((m) => this.#machines.has(m))) return;
    this.#machines = machines;
    this.#nodes.forEach((node, i) => {
      node.quietRounds = 0;
      node.stabilizeAt = Math.min(node.stabilizeAt, this.#now + 1 + (i % this.#limits.stabilizeTicks));
    });
    if (!this.#alone) return;
    for (const node of this.#nodes) {
      node.placed = false;
      node.placeTries = 0;
    }
  }

  /** Soon, because something around it has changed. */
  #wake(node: VirtualNode): void {
    node.quietRounds = 0;
    node.stabilizeAt = Math.min(node.stabilizeAt, this.#now + 1);
  }

  #drop(isGone: (member: Member) => boolean): void {
    let changed = false;
    for (const node of this.#nodes) {
      if (node.predecessor !== undefined && isGone(node.predecessor)) {
        node.predecessor = undefined;
        this.#version++;
      }
      for (const [bit, member] of node.fingers) if (isGone(member)) node.fingers.delete(bit);
      const { members, end } = node.segment;
      if (!members.some(isGone)) continue;
      const rest = members.filter((m) => !isGone(m));
      // A node that knows nobody else at least knows its own machine's virtual nodes.
      node.segment = rest.length === 0 ? this.#ownSegment(node) : { members: rest, end };
      this.#wake(node);
      changed = true;
    }
    if (changed) this.#deriveLists();
  }

  /** Members of other machines that successor lists begin with. */
  #otherMachines(): Member[] {
    return this.#nodes.flatMap(({ segment }) => segment.members.filter((m) => m.nodeId !== this.nodeId));
  }

  #ownSegment(node: VirtualNode): Segment {
    const list = reconcile(node.self.position, [node.self], this.#rules);
    return segmentOf(list, (position) => this.#byPosition.has(position));
  }
}

/** Whether a machine knows no others, or has not found the place of the asked node among them. */
function knowsOnlyItself(asked: Member, reply: ChordReply): boolean {
  return reply.successors.every((m) => m.nodeId === asked.nodeId);
}

/** Its first member is the successor of `member`, also in a ring that knows it. */
function justBehind({ position }: Member): Position {
  return addPowerOfTwo(position, 0);
}

function isOnlyOwn(node: VirtualNode, nodeId: string): boolean {
  return node.successors.members.every((m) => m.nodeId === nodeId);
}
