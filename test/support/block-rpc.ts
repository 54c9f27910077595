import type { BlockReply, BlockRequest } from '../../src/gen/ringfs/v1/block.ts';
import { type BodyOf, type RpcAcceptor, RpcError, type RpcErrorCode } from '../../src/ports/rpc.ts';

/** Small requests and replies of the block protocol, for tests of what carries them. */

export type Request = NonNullable<BodyOf<BlockRequest>>;
export type Reply = NonNullable<BodyOf<BlockReply>>;
export type BlockAcceptor = RpcAcceptor<BlockRequest, BlockReply>;

export const request = (n: number): Request => ({
  $case: 'list',
  value: { after: new Uint8Array(0), until: new Uint8Array(0), limit: n },
});
export const numberOf = (body: Request): number => (body.$case === 'list' ? body.value.limit : -1);
export const reply = (n: number): Reply => ({ $case: 'put', value: { durableCopies: n, existed: false } });
export const copiesOf = (body: Reply): number => (body.$case === 'put' ? body.value.durableCopies : -1);

export const echo: BlockAcceptor = () => ({
  onRequest: (body) => Promise.resolve(reply(numberOf(body))),
  onClose: () => {},
});

export const withCode =
  (code: RpcErrorCode) =>
  (error: unknown): boolean =>
    error instanceof RpcError && error.code === code;
