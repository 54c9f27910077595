import { asFsError, ERRNO, errnoName } from '../base/errno.ts';
import { KvDamagedError } from '../ports/kv-store.ts';
import type { ReplyBody } from './context.ts';
import { ReplicaStoppedError } from './raft/errors.ts';
import { NotLeaderError, OverloadedError, ProposalLostError, type Replica } from './replica.ts';

/** The reply to a request that was not carried out, and how it is to be logged. */
export interface RequestFailure {
  readonly reply: ReplyBody;
  /** `error`: a fault of this program or machine. `warn`: of the client. `debug`: part of normal life. */
  readonly level: 'error' | 'warn' | 'debug';
}

/** One table from what a request may throw to what the client is told. */
export function requestFailure(thrown: unknown, replica: Replica): RequestFailure {
  // A lost proposal is sent again under its sequence, to whoever leads now.
  if (thrown instanceof NotLeaderError || thrown instanceof ProposalLostError) {
    return { reply: notLeaderReply(replica), level: 'debug' };
  }
  // It has just been started, or is being stopped.
  if (thrown instanceof ReplicaStoppedError) return { reply: notLeaderReply(replica), level: 'debug' };
  // This replica has stopped for it.
  if (thrown instanceof KvDamagedError) return { reply: notLeaderReply(replica), level: 'error' };
  if (thrown instanceof OverloadedError)
    return { reply: errorReply(ERRNO.EAGAIN, 'overloaded'), level: 'warn' };
  const error = asFsError(thrown);
  const level = error.code === 'EIO' ? 'error' : EXPECTED.has(error.code) ? 'debug' : 'warn';
  // The cause of an unknown failure is for the log; it may name paths of this machine.
  const message = error.cause === undefined ? error.message : error.code;
  return { reply: errorReply(error.errno, message), level };
}

const EXPECTED: ReadonlySet<string> = new Set(['ESTALE', 'ENODATA', 'ENOENT', 'ENOTDIR', 'EPIPE']);

function errorReply(errno: number, message: string): ReplyBody {
  return { $case: 'error', value: { errno, message } };
}

/** Names the leader unless it is unknown. This replica names itself to nobody whom it has just refused. */
export function notLeaderReply(replica: Replica): ReplyBody {
  const leader = replica.leader();
  const known = leader !== undefined && leader.id !== replica.id;
  return {
    $case: 'notLeader',
    value: { leaderId: known ? leader.id : '', leaderAddress: known ? leader.address : '' },
  };
}

/** How a request ended, in a word: `ok`, an errno, or why a commit was not applied. For counters. */
export function outcomeOf(reply: ReplyBody): string {
  if (reply.$case === 'error') return errnoName(reply.value.errno);
  if (reply.$case === 'notLeader') return 'not_leader';
  if (reply.$case !== 'commit') return 'ok';
  const { body } = reply.value;
  switch (body?.$case) {
    case 'rejected':
      return body.value.errno === 0 ? 'precondition_failed' : errnoName(body.value.errno);
    case 'missingBlocks':
      return 'missing_blocks';
    case 'sessionUnknown':
      return 'session_unknown';
    default:
      return 'ok';
  }
}
