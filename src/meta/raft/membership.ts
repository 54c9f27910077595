import type { ServerId } from '../../base/ids.ts';
import { PROMOTE_INTERVAL_TICKS, PROMOTE_LAG_ENTRIES_MAX } from '../../base/limits.ts';
import { type ConfChangeStep, encodeConfChange } from '../../core/raft/conf-change.ts';
import type { PeerProgress, ProposeConfChangeResult, RaftCoreStatus } from '../../core/raft/types.ts';
import type { ChangeMembersRequest } from '../../gen/ringfs/v1/admin.ts';
import type { Logger } from '../../ports/logger.ts';

export type MemberChange = NonNullable<ChangeMembersRequest['change']>;

/** The change makes no sense, or would endanger the cluster. The message is for a person and says what to do. */
export class MemberChangeRefusedError extends Error {
  override readonly name = 'MemberChangeRefusedError';
}

/** Not possible now; the message says why. Nothing was changed. */
export class MemberChangeLaterError extends Error {
  override readonly name = 'MemberChangeLaterError';
}

export interface MembershipCore {
  status(): RaftCoreStatus;
  proposeConfChange(data: Uint8Array): ProposeConfChangeResult;
  transferLeadership(to: ServerId): void;
}

/**
 * The operator's side of membership changes at a leader, one member at a time (thesis, chapter 4), with the checks that keep a hurried
 * operator from losing the cluster.
 */
export class Membership {
  readonly #core: MembershipCore;
  readonly #logger: Logger;
  #ticks = 0;

  constructor(core: MembershipCore, logger: Logger) {
    this.#core = core;
    this.#logger = logger;
  }

  /** Where the change stands in the log, or undefined for a transfer. Throws MemberChangeRefusedError, MemberChangeLaterError. */
  start(change: MemberChange): { readonly index: number; readonly term: number } | undefined {
    const status = this.#core.status();
    switch (change.$case) {
      case 'add':
        return this.#propose(addStep(change.value, status));
      case 'promote':
        return this.#propose(promoteStep(change.value, status));
      case 'remove': {
        const step = removeStep(change.value, status);
        if (step.id === status.id) this.#handOver(status);
        return this.#propose(step);
      }
      default:
        checkTransfer(change.value, status);
        this.#core.transferLeadership(change.value as ServerId);
        return undefined;
    }
  }

  /** True: proposed that a new member votes, since it has caught up. Before, it would only hold up commits (thesis, 4.2.1). */
  tick(): boolean {
    if (this.#ticks++ % PROMOTE_INTERVAL_TICKS !== 0) return false;
    const { role, progress, commit, confState } = this.#core.status();
    if (role !== 'leader' || confState.promotable.length === 0) return false;
    const ready = progress.find((p) => confState.promotable.includes(p.id) && hasCaughtUp(p, commit));
    if (ready === undefined) return false;
    const steps = [{ kind: 'promote', id: ready.id, address: '' }] as const;
    const { ok } = this.#core.proposeConfChange(encodeConfChange({ transition: 'auto', steps }));
    if (ok) this.#logger.info({ id: ready.id }, 'a new member has caught up and is made a voter');
    return ok;
  }

  /** A leader that removes itself could not see to it that the others know. */
  #handOver({ id, confState, progress }: RaftCoreStatus): never {
    const heirs = progress.filter((p) => p.id !== id && confState.voters.includes(p.id) && p.recentActive);
    const heir = heirs.reduce<PeerProgress | undefined>(
      (a, b) => (a && a.match >= b.match ? a : b),
      undefined,
    );
    if (heir === undefined)
      throw new MemberChangeLaterError(`${id} leads, and no other voter answers to take over`);
    this.#core.transferLeadership(heir.id);
    throw new MemberChangeLaterError(`${id} leads, and hands over to ${heir.id} first`);
  }

  #propose(step: ConfChangeStep): { readonly index: number; readonly term: number } {
    const proposed = this.#core.proposeConfChange(encodeConfChange({ transition: 'auto', steps: [step] }));
    if (proposed.ok) {
      this.#logger.info({ ...step, index: proposed.index }, 'changing the members of the metadata cluster');
      return proposed;
    }
    if (proposed.reason === 'conf-change-invalid') {
      throw new MemberChangeRefusedError(
        'the change does not fit the present members; see: ringfs cluster list',
      );
    }
    throw new MemberChangeLaterError(
      proposed.reason === 'conf-change-pending'
        ? 'another change of members is under way'
        : `the leader takes no changes now (${proposed.reason})`,
    );
  }
}

function hasCaughtUp(member: PeerProgress, commit: number): boolean {
  const { learner, recentActive, state, match } = member;
  return learner && recentActive && state === 'replicate' && commit - match <= PROMOTE_LAG_ENTRIES_MAX;
}

function addStep(
  { id, address, learner }: { id: string; address: string; learner: boolean },
  { confState }: RaftCoreStatus,
): ConfChangeStep {
  if (confState.voters.includes(id)) throw new MemberChangeRefusedError(`${id} is a member already`);
  const holder = confState.addresses.find((a) => a.address === address && a.id !== id);
  if (holder !== undefined) {
    throw new MemberChangeRefusedError(
      `${address} is the address of member ${holder.id}; remove that one first`,
    );
  }
  return { kind: learner ? 'add-learner' : 'join', id: id as ServerId, address };
}

function promoteStep(id: string, { confState, progress, commit }: RaftCoreStatus): ConfChangeStep {
  if (confState.voters.includes(id)) throw new MemberChangeRefusedError(`${id} is a voter already`);
  const member = progress.find((p) => p.id === id);
  if (member === undefined)
    throw new MemberChangeRefusedError(`${id} is not a member; add it first: ringfs cluster add`);
  if (!member.recentActive) throw new MemberChangeLaterError(`${id} does not answer`);
  if (!hasCaughtUp(member, commit)) {
    throw new MemberChangeLaterError(`${id} is ${commit - member.match} entries behind`);
  }
  return { kind: 'promote', id: id as ServerId, address: '' };
}

/** As etcd's strict check of reconfigurations: what is left must be able to commit. */
function removeStep(
  { id, force }: { id: string; force: boolean },
  { id: self, confState, progress }: RaftCoreStatus,
): ConfChangeStep {
  const isMember = [...confState.voters, ...confState.learners].includes(id);
  if (!isMember) throw new MemberChangeRefusedError(`${id} is not a member`);
  const left = confState.voters.filter((voter) => voter !== id);
  if (left.length === 0) throw new MemberChangeRefusedError(`${id} is the last voter: nothing would be left`);
  const answering = left.filter(
    (voter) => voter === self || progress.some((p) => p.id === voter && p.recentActive),
  );
  const majority = Math.floor(left.length / 2) + 1;
  if (confState.voters.includes(id) && answering.length < majority && !force) {
    throw new MemberChangeRefusedError(
      `without ${id} only ${answering.length} of ${left.length} voters answer, which is no majority: the cluster would stop. ` +
        `Start the others again or add a voter first; --force removes it all the same`,
    );
  }
  return { kind: 'remove', id: id as ServerId, address: '' };
}

function checkTransfer(to: string, { id: self, confState, progress }: RaftCoreStatus): void {
  if (to === self) throw new MemberChangeRefusedError(`${to} leads already`);
  if (!confState.voters.includes(to)) throw new MemberChangeRefusedError(`${to} is not a voter`);
  if (progress.find((p) => p.id === to)?.recentActive !== true) {
    throw new MemberChangeLaterError(`${to} does not answer`);
  }
}
