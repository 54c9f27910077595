import type { ChangeMembersReply, ChangeMembersRequest } from '../gen/ringfs/v1/admin.ts';
import { MemberChangeLaterError, MemberChangeRefusedError } from './raft/membership.ts';
import type { RaftReplica } from './raft/raft-replica.ts';
import { NotLeaderError } from './replica.ts';

type Result = NonNullable<ChangeMembersReply['result']>;

/** Answers an operator's change of the metadata cluster. Rejects with what is nobody's expectation. */
export async function changeMembers(
  replica: Pick<RaftReplica, 'changeMembers' | 'leader'>,
  request: ChangeMembersRequest,
): Promise<ChangeMembersReply> {
  return { result: await resultOf(replica, request) };
}

async function resultOf(
  replica: Pick<RaftReplica, 'changeMembers' | 'leader'>,
  { change }: ChangeMembersRequest,
): Promise<Result> {
  if (change === undefined) return { $case: 'refused', value: 'this server is older than the command' };
  try {
    return { $case: 'done', value: { index: await replica.changeMembers(change) } };
  } catch (error) {
    if (error instanceof MemberChangeRefusedError) return { $case: 'refused', value: error.message };
    if (error instanceof MemberChangeLaterError) return { $case: 'retry', value: error.message };
    if (!(error instanceof NotLeaderError)) throw error;
    const leader = error.leader ?? replica.leader();
    return { $case: 'notLeader', value: { id: leader?.id ?? '', address: leader?.address ?? '' } };
  }
}
