import { fromHex, toHex } from '../base/bytes.ts';
import type { BlockId } from '../base/ids.ts';
import type { Position } from '../core/chord/identifiers.ts';
import type { ChordBody, ChordReply, ChordRequest, Member } from '../core/chord/types.ts';
import {
  BlockErrorCode,
  type BlockReply,
  type BlockRequest,
  type RingExchange,
  type RingExchangeReply,
  type RingMember,
} from '../gen/ringfs/v1/block.ts';
import { BlockStoreError } from '../ports/block-store.ts';

export type RequestBody = NonNullable<BlockRequest['body']>;
export type ReplyBody = NonNullable<BlockReply['body']>;

const ID_BYTES = 32;

/** A failure that the caller is told about with a code. */
export class BlockRequestError extends Error {
  override readonly name = 'BlockRequestError';
  readonly code: BlockErrorCode;
  constructor(code: BlockErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

export function errorReply(code: BlockErrorCode, message: string): ReplyBody {
  return { $case: 'error', value: { code, message } };
}

const ERROR_NAMES: ReadonlyMap<BlockErrorCode, string> = new Map(
  Object.entries(BlockErrorCode).map(([name, code]) => [code, name.toLowerCase()]),
);

/** `ok`, or the name of the error: for counters. */
export function outcomeOf(reply: ReplyBody): string {
  return reply.$case === 'error' ? (ERROR_NAMES.get(reply.value.code) ?? 'unrecognized') : 'ok';
}

/** The reply to a request that threw this; undefined for what nobody foresaw. */
export function expectedErrorReply(error: unknown): ReplyBody | undefined {
  if (error instanceof BlockRequestError) return errorReply(error.code, error.message);
  if (!(error instanceof BlockStoreError)) return undefined;
  const code = {
    corrupt: BlockErrorCode.CORRUPT,
    'no-space': BlockErrorCode.NO_SPACE,
    io: BlockErrorCode.IO,
    closed: BlockErrorCode.UNAVAILABLE,
  }[error.code];
  return errorReply(code, error.message);
}

/** Throws BlockRequestError INVALID. */
export function blockIdFromWire(bytes: Uint8Array): BlockId {
  if (bytes.length !== ID_BYTES)
    throw new BlockRequestError(BlockErrorCode.INVALID, 'block id is not 32 bytes');
  return toHex(bytes) as BlockId;
}

export function blockIdToWire(id: BlockId): Uint8Array {
  return fromHex(id);
}

/** Throws BlockRequestError INVALID. */
export function positionFromWire(bytes: Uint8Array): Position {
  if (bytes.length !== ID_BYTES)
    throw new BlockRequestError(BlockErrorCode.INVALID, 'position is not 32 bytes');
  return toHex(bytes) as Position;
}

export function memberToWire(member: Member): RingMember {
  return { position: fromHex(member.position), nodeId: member.nodeId, address: member.address };
}

export function memberFromWire(member: RingMember): Member {
  return { position: positionFromWire(member.position), nodeId: member.nodeId, address: member.address };
}

export function chordRequestToWire(request: ChordRequest): RingExchange {
  const target = request.target === undefined ? new Uint8Array(0) : fromHex(request.target);
  return { target, sender: memberToWire(request.sender), body: chordBodyToWire(request.body) };
}

function chordBodyToWire(body: ChordBody): NonNullable<RingExchange['body']> {
  switch (body.kind) {
    case 'neighbors':
      return { $case: 'getNeighbors', value: {} };
    case 'notify':
      return { $case: 'notify', value: {} };
    case 'find':
      return { $case: 'findSuccessor', value: { key: fromHex(body.key) } };
    case 'leave': {
      const predecessor = body.predecessor && memberToWire(body.predecessor);
      return { $case: 'leave', value: { predecessor, successors: body.successors.map(memberToWire) } };
    }
  }
}

/** Throws BlockRequestError INVALID. */
export function chordRequestFromWire(exchange: RingExchange): ChordRequest {
  if (exchange.sender === undefined || exchange.body === undefined) {
    throw new BlockRequestError(BlockErrorCode.INVALID, 'ring exchange without sender or body');
  }
  return {
    target: exchange.target.length === 0 ? undefined : positionFromWire(exchange.target),
    sender: memberFromWire(exchange.sender),
    body: chordBodyFromWire(exchange.body),
  };
}

function chordBodyFromWire(body: NonNullable<RingExchange['body']>): ChordBody {
  switch (body.$case) {
    case 'getNeighbors':
      return { kind: 'neighbors' };
    case 'notify':
      return { kind: 'notify' };
    case 'findSuccessor':
      return { kind: 'find', key: positionFromWire(body.value.key) };
    case 'leave': {
      const { predecessor, successors } = body.value;
      return {
        kind: 'leave',
        predecessor: predecessor && memberFromWire(predecessor),
        successors: successors.map(memberFromWire),
      };
    }
  }
}

export function chordReplyToWire(reply: ChordReply): RingExchangeReply {
  return {
    predecessor: reply.predecessor && memberToWire(reply.predecessor),
    successors: reply.successors.map(memberToWire),
    done: reply.done,
    result: reply.result && memberToWire(reply.result),
  };
}

export function chordReplyFromWire(reply: RingExchangeReply): ChordReply {
  return {
    predecessor: reply.predecessor && memberFromWire(reply.predecessor),
    successors: reply.successors.map(memberFromWire),
    done: reply.done,
    result: reply.result && memberFromWire(reply.result),
  };
}
