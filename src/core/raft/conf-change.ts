import { assert } from '../../base/assert.ts';
import { toBinary } from '../../base/bytes.ts';
import type { ServerId } from '../../base/ids.ts';
import type { RaftConfState } from '../../gen/ringfs/v1/raft.ts';

/**
 * Membership changes (Ongaro's thesis, chapter 4). A change of one voter is simple: the majorities before and after it overlap. Any other
 * goes through a joint configuration, in which both majorities have to agree, and which a second, empty change leaves.
 */

/**
 * `promote` makes a voter of a learner and is refused for anything else; `add-learner` demotes a voter; `join` adds a learner that the leader
 * is to promote once it has caught up, and is refused for a voter.
 */
export type ConfChangeKind = 'add-voter' | 'add-learner' | 'promote' | 'remove' | 'join';

export interface ConfChangeStep {
  readonly kind: ConfChangeKind;
  readonly id: ServerId;
  /** Where the member listens, for the driver. Empty: as before. */
  readonly address: string;
}

export interface ConfChange {
  /** `auto`: simple where that is safe, else joint. `joint-auto-leave`: the leader leaves the joint configuration once it is
   * applied. `joint-explicit`: it stays until a change without steps is proposed. */
  readonly transition: 'auto' | 'joint-auto-leave' | 'joint-explicit';
  /** Empty: leave the joint configuration. */
  readonly steps: readonly ConfChangeStep[];
}

/** Of a replica that is not part of a cluster yet. */
export const NO_MEMBERS: RaftConfState = {
  voters: [],
  learners: [],
  votersOutgoing: [],
  learnersNext: [],
  autoLeave: false,
  addresses: [],
  promotable: [],
};

export const LEAVE_JOINT: ConfChange = { transition: 'auto', steps: [] };

/*
 * Encoding: version (1), transition, number of steps, then per step: kind, length of the id, id, length of the address, address.
 * Each number is one byte; transition and kind are positions in the lists below; texts are printable ASCII.
 */
const VERSION = 1;
const TRANSITIONS = ['auto', 'joint-auto-leave', 'joint-explicit'] as const;
const KINDS = ['add-voter', 'add-learner', 'promote', 'remove', 'join'] as const;

function isText(text: string, bytesMin: number): boolean {
  return text.length >= bytesMin && text.length <= 255 && /^[\x21-\x7e]*$/.test(text);
}

/** Ids and addresses are printable ASCII without blanks, at most 255 bytes; at most 255 steps. Asserted. */
export function encodeConfChange(change: ConfChange): Uint8Array {
  assert(change.steps.length <= 255, 'too many steps in a configuration change');
  const out: number[] = [VERSION, TRANSITIONS.indexOf(change.transition), change.steps.length];
  const putText = (text: string): void => {
    out.push(text.length);
    for (let i = 0; i < text.length; i++) out.push(text.charCodeAt(i));
  };
  for (const step of change.steps) {
    assert(
      isText(step.id, 1) && isText(step.address, 0),
      'a member id or address that is not printable ASCII',
    );
    out.push(KINDS.indexOf(step.kind));
    putText(step.id);
    putText(step.address);
  }
  return Uint8Array.from(out);
}

/** Undefined for anything that `encodeConfChange` does not write. */
export function decodeConfChange(data: Uint8Array): ConfChange | undefined {
  const transition = TRANSITIONS[data[1] ?? -1];
  const count = data[2];
  if (data[0] !== VERSION || transition === undefined || count === undefined) return undefined;
  let at = 3;
  const takeText = (): string => {
    const length = data[at] ?? 0;
    const text = toBinary(data.subarray(at + 1, at + 1 + length));
    at += 1 + length;
    return text;
  };
  const steps: ConfChangeStep[] = [];
  for (let i = 0; i < count; i++) {
    const kind = KINDS[data[at] ?? -1];
    at += 1;
    const id = takeText();
    const address = takeText();
    if (kind === undefined || at > data.length || !isText(id, 1) || !isText(address, 0)) return undefined;
    steps.push({ kind, id: id as ServerId, address });
  }
  return at === data.length ? { transition, steps } : undefined;
}

/**
 * The configuration after `change`, or undefined when the change is not allowed in `conf`. Deterministic: every replica applies the same
 * change to the same configuration.
 */
export function changedConfState(conf: RaftConfState, change: ConfChange): RaftConfState | undefined {
  const joint = conf.votersOutgoing.length > 0;
  if (change.steps.length === 0) return joint ? leftJoint(conf) : undefined;
  if (joint) return undefined;
  const members: Members = {
    voters: new Set(conf.voters),
    learners: new Set(conf.learners),
    promotable: new Set(conf.promotable),
    addresses: new Map(conf.addresses.map(({ id, address }) => [id, address])),
  };
  if (!applySteps(change.steps, members) || members.voters.size === 0) return undefined;
  const { voters, learners } = members;
  const difference =
    conf.voters.filter((id) => !voters.has(id)).length +
    [...voters].filter((id) => !conf.voters.includes(id)).length;
  if (change.transition === 'auto' && difference <= 1) return makeConfState(members);
  // Whoever still votes in the outgoing half becomes a learner only when that half is left.
  const outgoing = new Set(conf.voters);
  const learnersNow = new Set([...learners].filter((id) => !outgoing.has(id)));
  for (const { id, address } of conf.addresses) {
    if (outgoing.has(id) && !members.addresses.has(id)) members.addresses.set(id, address);
  }
  return {
    ...makeConfState({ ...members, learners: learnersNow }),
    votersOutgoing: [...outgoing].sort(),
    learnersNext: [...learners].filter((id) => outgoing.has(id)).sort(),
    autoLeave: change.transition !== 'joint-explicit',
  };
}

interface Members {
  readonly voters: Set<string>;
  readonly learners: Set<string>;
  readonly promotable: Set<string>;
  readonly addresses: Map<string, string>;
}

/** False: not allowed. */
function applySteps(steps: readonly ConfChangeStep[], members: Members): boolean {
  const { voters, learners, promotable, addresses } = members;
  const seen = new Set<string>();
  for (const { kind, id, address } of steps) {
    if (seen.has(id)) return false;
    seen.add(id);
    if (kind === 'promote' && !learners.has(id)) return false;
    if (kind === 'join' && voters.has(id)) return false;
    voters.delete(id);
    learners.delete(id);
    promotable.delete(id);
    if (kind === 'remove') {
      addresses.delete(id);
      continue;
    }
    if (kind === 'add-voter' || kind === 'promote') voters.add(id);
    else learners.add(id);
    if (kind === 'join') promotable.add(id);
    if (address !== '') addresses.set(id, address);
  }
  return true;
}

function leftJoint(conf: RaftConfState): RaftConfState {
  const learners = [...conf.learners, ...conf.learnersNext].sort();
  const isMember = (id: string): boolean => conf.voters.includes(id) || learners.includes(id);
  return {
    ...conf,
    learners,
    addresses: conf.addresses.filter(({ id }) => isMember(id)),
    votersOutgoing: [],
    learnersNext: [],
    autoLeave: false,
  };
}

function makeConfState({ voters, learners, promotable, addresses }: Members): RaftConfState {
  return {
    ...NO_MEMBERS,
    voters: [...voters].sort(),
    learners: [...learners].sort(),
    addresses: [...addresses.keys()].sort().map((id) => ({ id, address: addresses.get(id)! })),
    promotable: [...promotable].sort(),
  };
}
