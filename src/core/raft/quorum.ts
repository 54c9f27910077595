/** Majorities, and joint majorities of two configurations (Ongaro's thesis, 4.3). */

export type VoteResult = 'won' | 'lost' | 'pending';

/** Reused between calls, which never nest: a commit check per acknowledgement should not allocate. */
const scratch: number[] = [];

/** The largest value that a majority has reached; infinite for no members, so that an empty half of a joint
 * configuration never decides. */
export function majorityValue<T>(members: readonly T[], measure: (member: T) => number): number {
  const n = members.length;
  if (n === 0) return Number.POSITIVE_INFINITY;
  // Insertion sort, descending: n is 3 or 5.
  for (let i = 0; i < n; i++) {
    const value = measure(members[i]!);
    let at = i;
    while (at > 0 && scratch[at - 1]! < value) {
      scratch[at] = scratch[at - 1]!;
      at -= 1;
    }
    scratch[at] = value;
  }
  return scratch[n >> 1]!;
}

/** Both halves of a joint configuration have to agree. */
export function jointValue<T>(
  incoming: readonly T[],
  outgoing: readonly T[],
  measure: (member: T) => number,
): number {
  return Math.min(majorityValue(incoming, measure), majorityValue(outgoing, measure));
}

export function majorityVote<T>(
  members: readonly T[],
  voteOf: (member: T) => boolean | undefined,
): VoteResult {
  let granted = 0;
  let open = 0;
  for (const member of members) {
    const vote = voteOf(member);
    if (vote === true) granted += 1;
    else if (vote === undefined) open += 1;
  }
  const majority = (members.length >> 1) + 1;
  if (members.length === 0 || granted >= majority) return 'won';
  return granted + open >= majority ? 'pending' : 'lost';
}

export function jointVote<T>(
  incoming: readonly T[],
  outgoing: readonly T[],
  voteOf: (member: T) => boolean | undefined,
): VoteResult {
  const a = majorityVote(incoming, voteOf);
  const b = majorityVote(outgoing, voteOf);
  if (a === 'lost' || b === 'lost') return 'lost';
  return a === 'won' && b === 'won' ? 'won' : 'pending';
}
