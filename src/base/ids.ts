/** Branded identifiers, so that an inode number is never passed where a log index is meant. */

declare const brand: unique symbol;
type Branded<T, B extends string> = T & { readonly [brand]: B };

/** Inode number, 1 to 2^53 - 1. */
export type Ino = Branded<number, 'Ino'>;
/** Position in the Raft log, from 1. */
export type LogIndex = Branded<number, 'LogIndex'>;
/** Raft term, from 1. */
export type Term = Branded<number, 'Term'>;
/** A server's name in the cluster, such as `s1`. */
export type ServerId = Branded<string, 'ServerId'>;
/** A client session: the log index of the entry that opened it. */
export type SessionId = Branded<number, 'SessionId'>;
/** SHA-256 of a block's content as 64 lower-case hexadecimal digits. */
export type BlockId = Branded<string, 'BlockId'>;

export const ROOT_INO = 1 as Ino;
