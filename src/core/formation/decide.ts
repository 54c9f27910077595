import { type FormationReply, FormationState } from '../../gen/ringfs/v1/admin.ts';

/**
 * Whether a server without Raft's memory may take part. It asks all others in its --peers, in rounds; ARCHITECTURE.md ("Forming a cluster")
 * has the argument.
 */

/** Instances of the servers that a cluster began with, by server id. An instance is one life of a data directory. */
export type Founders = Readonly<Record<string, string>>;

export interface Candidate {
  readonly id: string;
  readonly instanceId: string;
  readonly clusterId: string;
  /** Ids of its --peers, its own included. */
  readonly peers: readonly string[];
}

/** No answer, and why: for a person. */
export interface Silence {
  readonly silent: string;
}

/** What each of the others said when it was asked once, by id. */
export type Round = ReadonlyMap<string, FormationReply | Silence>;

export interface Waiting {
  readonly id: string;
  /** For a person. */
  readonly why: string;
}

export type Decision =
  /** First formation: nobody remembers anything. */
  | { readonly kind: 'form'; readonly founders: Founders }
  /** Somebody has gone on before, and counted this instance. */
  | { readonly kind: 'follow'; readonly founders: Founders; readonly peer: string }
  /** Everybody is blank; it must be seen once more. */
  | { readonly kind: 'again' }
  | { readonly kind: 'wait'; readonly waiting: readonly Waiting[] }
  /** This server may have been a member, which has forgotten its votes. */
  | { readonly kind: 'refuse'; readonly peer: string; readonly clusterId: string };

type Said =
  | { readonly kind: 'blank'; readonly instanceId: string }
  | { readonly kind: 'counted-me'; readonly founders: Founders }
  | { readonly kind: 'not-me' }
  | { readonly kind: 'nothing'; readonly why: string };

/** `before` is the round before `now`, if there was one. */
export function decide(self: Candidate, before: Round | undefined, now: Round): Decision {
  const others = self.peers.filter((id) => id !== self.id);
  const said = others.map((id) => ({ id, said: understand(self, id, now.get(id)) }));
  for (const { id, said: answer } of said) {
    if (answer.kind === 'counted-me') return { kind: 'follow', founders: answer.founders, peer: id };
  }
  const refusing = said.find(({ said: answer }) => answer.kind === 'not-me');
  if (refusing !== undefined) {
    const clusterId = (now.get(refusing.id) as FormationReply).clusterId;
    return { kind: 'refuse', peer: refusing.id, clusterId };
  }
  const waiting = said.flatMap(({ id, said: answer }) =>
    answer.kind === 'nothing' ? [{ id, why: answer.why }] : [],
  );
  if (waiting.length > 0) return { kind: 'wait', waiting };
  // Equal instances in two rounds: between them, at one moment, all of these were blank.
  const founders = foundersOf(self, others, now);
  const earlier = before === undefined ? undefined : foundersOf(self, others, before);
  if (founders === undefined || earlier === undefined) {
    return others.length === 0
      ? { kind: 'form', founders: { [self.id]: self.instanceId } }
      : { kind: 'again' };
  }
  const same = others.every((id) => founders[id] === earlier[id]);
  return same ? { kind: 'form', founders } : { kind: 'again' };
}

/** Undefined unless all others said that they are blank. */
function foundersOf(self: Candidate, others: readonly string[], round: Round): Founders | undefined {
  const founders: Record<string, string> = { [self.id]: self.instanceId };
  for (const id of others) {
    const answer = understand(self, id, round.get(id));
    if (answer.kind !== 'blank') return undefined;
    founders[id] = answer.instanceId;
  }
  return founders;
}

function understand(self: Candidate, id: string, answer: FormationReply | Silence | undefined): Said {
  if (answer === undefined) return { kind: 'nothing', why: 'it was not asked' };
  if ('silent' in answer) return { kind: 'nothing', why: answer.silent };
  if (answer.id !== id) return { kind: 'nothing', why: `at its address is server ${answer.id}` };
  const formed = answer.state === FormationState.FORMED;
  if (answer.clusterId !== self.clusterId) {
    // What it says of this server's id is of another cluster, or of this one under the name that it had before.
    if (formed) return { kind: 'not-me' };
    return { kind: 'nothing', why: `it belongs to another cluster, '${answer.clusterId}'` };
  }
  if (formed) {
    const founders = Object.fromEntries(answer.founders.map((each) => [each.id, each.instanceId]));
    return founders[self.id] === self.instanceId ? { kind: 'counted-me', founders } : { kind: 'not-me' };
  }
  if (answer.state !== FormationState.FORMING) {
    return { kind: 'nothing', why: 'it runs without the role meta' };
  }
  if (answer.peers.join() !== [...self.peers].sort().join()) {
    const named =
      answer.peers.length === 0 ? 'with --join' : `with other --peers (${answer.peers.join(', ')})`;
    return { kind: 'nothing', why: `it was started ${named}` };
  }
  return { kind: 'blank', instanceId: answer.instanceId };
}
