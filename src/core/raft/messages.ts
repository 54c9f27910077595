import type { ServerId } from '../../base/ids.ts';
import { EntryType, type RaftEntry, type RaftMessage, RaftMessageType } from '../../gen/ringfs/v1/raft.ts';

/** Terms, indexes and contexts above this are nonsense. Far from 2^53, so that sums stay exact integers. */
const NUMBER_MAX = 2 ** 48;

/** Shared by all messages without entries; frozen, because messages are handed out. */
const NO_ENTRIES = Object.freeze([]) as unknown as RaftEntry[];

/** Every message has all fields, in one order: one hidden class, and zero is "unused". */
export function createMessage(
  type: RaftMessageType,
  from: ServerId,
  to: ServerId,
  term: number,
): RaftMessage {
  return {
    type,
    from,
    to,
    term,
    logTerm: 0,
    index: 0,
    commit: 0,
    entries: NO_ENTRIES,
    reject: false,
    rejectHint: 0,
    rejectHintTerm: 0,
    snapshot: undefined,
    stateHash: undefined,
    context: 0,
    force: false,
  };
}

/**
 * Whether a message of a Ready may be sent before that Ready is persisted, so that the leader's disk works in parallel
 * with its followers' (Ongaro's thesis, 10.2.1). A node leads only after its term and its vote for itself were persisted, and it
 * counts its own entries only once persisted, so what a leader sends promises nothing about its own disk.
 */
export function mayPrecedePersistence(message: RaftMessage): boolean {
  return message.type === RaftMessageType.APPEND || message.type === RaftMessageType.HEARTBEAT;
}

function isCount(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= NUMBER_MAX;
}

/** Entries follow (index, logTerm) without gaps, with terms that never decrease nor exceed the sender's. */
function entriesAreSane(message: RaftMessage): boolean {
  let index = message.index;
  let term = message.logTerm;
  for (const entry of message.entries) {
    index += 1;
    if (entry.index !== index || entry.term < term || entry.term > message.term) return false;
    if (!isCount(entry.term) || entry.term === 0) return false;
    if (entry.type !== EntryType.NORMAL && entry.type !== EntryType.CONF_CHANGE) return false;
    if (!(entry.data instanceof Uint8Array)) return false;
    term = entry.term;
  }
  return index <= NUMBER_MAX;
}

/** False for what no correct node sends to `self`: such a message is dropped before it is looked at. */
export function isSaneMessage(message: RaftMessage, self: ServerId): boolean {
  if (message.to !== self || message.from === self || message.from === '') return false;
  if (!isCount(message.term) || message.term === 0) return false;
  if (!isCount(message.index) || !isCount(message.logTerm) || !isCount(message.commit)) return false;
  if (!isCount(message.rejectHint) || !isCount(message.rejectHintTerm) || !isCount(message.context))
    return false;
  if (message.type !== RaftMessageType.APPEND) return true;
  if (message.logTerm > message.term || (message.index === 0) !== (message.logTerm === 0)) return false;
  return entriesAreSane(message);
}

/** Sent by whoever leads the message's term. */
export function isFromLeader(type: RaftMessageType): boolean {
  return (
    type === RaftMessageType.APPEND || type === RaftMessageType.HEARTBEAT || type === RaftMessageType.SNAPSHOT
  );
}
