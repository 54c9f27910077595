import { assert } from '../../base/assert.ts';
import type { ServerId } from '../../base/ids.ts';
import type { RaftConfState } from '../../gen/ringfs/v1/raft.ts';

/**
 * Membership changes (Ongaro's thesis, chapter 4). A change of one voter is simple: the majorities before and after it overlap. Any other
 * goes through a joint configuration, in which both majorities have to agree, and which a second, empty change leaves.
 */

/** `promote` makes a voter of a learner and is refused for anything else; `add-learner` demotes a voter. */
export type ConfChangeKind = 'add-voter' | 'add-learner' | 'promote' | 'remove';

export interface ConfChangeStep {
  readonly kind: ConfChangeKind;
  readonly id: ServerId;
  /** Where the member listens, for the driver; the core does not look at it. */
  readonly address: string;
}

export interface ConfChange {
  /** `auto`: simple where that is safe, else joint. `joint-auto-leave`: the leader leaves the joint configuration once it is
   * applied. `joint-explicit`: it stays until a change without steps is proposed. */
  readonly transition: 'auto' | 'joint-auto-leave' | 'joint-explicit';
  /** Empty: leave the joint configuration. */
  readonly steps: readonly ConfChangeStep[];
}

export const LEAVE_JOINT: ConfChange = { transition: 'auto', steps: [] };

/*
 * Encoding: version (1), transition, number of steps, then per step: kind, length of the id, id, length of the address, address.
 * Each number is one byte; transition and kind are positions in the lists below; texts are printable ASCII.
 */
const VERSION = 1;
const TRANSITIONS = ['auto', 'joint-auto-leave', 'joint-explicit'] as const;
const KINDS = ['add-voter', 'add-learner', 'promote', 'remove'] as const;

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
    const text = String.fromCharCode(...data.subarray(at + 1, at + 1 + length));
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
  const voters = new Set(conf.voters);
  const learners = new Set(conf.learners);
  if (!applySteps(change.steps, voters, learners) || voters.size === 0) return undefined;
  const difference =
    conf.voters.filter((id) => !voters.has(id)).length +
    [...voters].filter((id) => !conf.voters.includes(id)).length;
  if (change.transition === 'auto' && difference <= 1) {
    return makeConfState(voters, learners, [], [], false);
  }
  // Whoever still votes in the outgoing half becomes a learner only when that half is left.
  const outgoing = new Set(conf.voters);
  const learnersNow = [...learners].filter((id) => !outgoing.has(id));
  const learnersNext = [...learners].filter((id) => outgoing.has(id));
  return makeConfState(voters, learnersNow, outgoing, learnersNext, change.transition !== 'joint-explicit');
}

function applySteps(steps: readonly ConfChangeStep[], voters: Set<string>, learners: Set<string>): boolean {
  const seen = new Set<string>();
  for (const { kind, id } of steps) {
    if (seen.has(id)) return false;
    seen.add(id);
    if (kind === 'promote' && !learners.has(id)) return false;
    voters.delete(id);
    learners.delete(id);
    if (kind === 'add-voter' || kind === 'promote') voters.add(id);
    else if (kind === 'add-learner') learners.add(id);
  }
  return true;
}

function leftJoint(conf: RaftConfState): RaftConfState {
  return makeConfState(conf.voters, [...conf.learners, ...conf.learnersNext], [], [], false);
}

function makeConfState(
  voters: Iterable<string>,
  learners: Iterable<string>,
  votersOutgoing: Iterable<string>,
  learnersNext: Iterable<string>,
  autoLeave: boolean,
): RaftConfState {
  return {
    voters: [...voters].sort(),
    learners: [...learners].sort(),
    votersOutgoing: [...votersOutgoing].sort(),
    learnersNext: [...learnersNext].sort(),
    autoLeave,
  };
}
