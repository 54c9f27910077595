import { ChordNode } from '../../../src/core/chord/chord-node.ts';
import type { Position } from '../../../src/core/chord/identifiers.ts';
import type { ChordReply, ChordRequest, OwnersAnswer } from '../../../src/core/chord/types.ts';
import type { MachinesComponents } from './machines.ts';

type MakeCore = NonNullable<MachinesComponents['makeCore']>;

/** Tells its neighbours a list without the second member now and then. */
class Skipping extends ChordNode {
  #told = 0;
  override handle(request: ChordRequest): ChordReply | undefined {
    const reply = super.handle(request);
    if (reply === undefined || reply.successors.length < 3 || ++this.#told % 50 > 0) return reply;
    return { ...reply, successors: reply.successors.filter((_, i) => i !== 1) };
  }
}

/** Never hears that it has a new predecessor (Chord without notify). */
class Deaf extends ChordNode {
  override handle(request: ChordRequest): ChordReply | undefined {
    if (request.body.kind !== 'notify') return super.handle(request);
    return { predecessor: undefined, successors: [], done: true, result: undefined };
  }
}

/** Goes on with members that do not answer. */
class Stubborn extends ChordNode {
  override nodeDown(): void {}
}

/** Names the first owner only. */
class Stingy extends ChordNode {
  override owners(key: Position, count: number): OwnersAnswer {
    const answer = super.owners(key, count);
    return answer.done ? { ...answer, owners: answer.owners.slice(0, 1) } : answer;
  }
}

/** Sends lookups back to where it would begin itself. */
class Circling extends ChordNode {
  override owners(key: Position, count: number): OwnersAnswer {
    const answer = super.owners(key, count);
    const first = this.virtualNodes[0]!.successors.members.find((m) => m.nodeId !== this.nodeId);
    return answer.done || first === undefined ? answer : { done: false, nextHop: first };
  }
}

/** Answers as if its list were one successor long: Chord before successor lists. */
class Shortsighted extends ChordNode {
  override handle(request: ChordRequest): ChordReply | undefined {
    const reply = super.handle(request);
    return reply === undefined ? undefined : { ...reply, successors: reply.successors.slice(0, 1) };
  }
}

/** Mistakes planted in the core. */
export const RING_MUTATIONS = {
  'skip-a-member': (config) => new Skipping(config),
  'ignore-notify': (config) => new Deaf(config),
  'believe-in-the-dead': (config) => new Stubborn(config),
  'name-one-owner': (config) => new Stingy(config),
  'lookup-in-circles': (config) => new Circling(config),
  'forget-the-list': (config) => new Shortsighted(config),
} as const satisfies Readonly<Record<string, MakeCore>>;
