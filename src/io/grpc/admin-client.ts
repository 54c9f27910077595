import type { MethodDefinition, ServiceError } from '@grpc/grpc-js';
import {
  BlockNodesReply,
  BlockNodesRequest,
  ChangeMembersReply,
  ChangeMembersRequest,
  DumpRequest,
  FormationReply,
  FormationRequest,
  GarbageReply,
  GarbageRequest,
  ServerStatus,
  StatusRequest,
} from '../../gen/ringfs/v1/admin.ts';
import { SnapshotPart } from '../../gen/ringfs/v1/raft.ts';
import { AdminService } from '../../gen/ringfs/v1/service.ts';
import { deserializer, type MessageCodec, serializer } from './codec.ts';
import { openClient } from './open-client.ts';

interface UnaryCall<Request, Reply> {
  readonly method: Pick<MethodDefinition<Request, Reply>, 'path'>;
  readonly requestCodec: MessageCodec<Request>;
  readonly replyCodec: MessageCodec<Reply>;
  readonly request: Request;
}

/** Asks one server process for its status. Rejects when it does not answer within `timeoutMs`. */
export function fetchServerStatus(address: string, timeoutMs: number): Promise<ServerStatus> {
  return call(address, timeoutMs, {
    method: AdminService.status,
    requestCodec: StatusRequest,
    replyCodec: ServerStatus,
    request: {},
  });
}

/** Asks one server to change the members of the metadata cluster. Rejects when it does not answer within `timeoutMs`; the change may
 * have taken effect then. */
export function requestMemberChange(
  address: string,
  change: ChangeMembersRequest['change'],
  timeoutMs: number,
): Promise<ChangeMembersReply> {
  return call(address, timeoutMs, {
    method: AdminService.changeMembers,
    requestCodec: ChangeMembersRequest,
    replyCodec: ChangeMembersReply,
    request: { change },
  });
}

/** The metadata as one server has it, part by part. Ending it early ends the call. Throws what the server says, or that it is gone. */
export async function* fetchDump(address: string): AsyncIterableIterator<SnapshotPart> {
  const { client, destroy } = openClient(address);
  try {
    const stream = client.makeServerStreamRequest(
      AdminService.dump.path,
      serializer(DumpRequest),
      deserializer(SnapshotPart),
      {},
    );
    for await (const part of stream as AsyncIterable<SnapshotPart>) yield part;
  } catch (error) {
    throw new Error(`${address}: ${(error as Partial<ServiceError>).details ?? (error as Error).message}`, {
      cause: error,
    });
  } finally {
    destroy();
  }
}

/** What one server knows of garbage; without `dryRun` it does something about it first. Rejects when it does not answer in time. */
export function requestGarbage(address: string, dryRun: boolean, timeoutMs: number): Promise<GarbageReply> {
  return call(address, timeoutMs, {
    method: AdminService.garbage,
    requestCodec: GarbageRequest,
    replyCodec: GarbageReply,
    request: { dryRun },
  });
}

/** The block nodes as a server's registry has them, after `change`. Rejects when it does not answer within `timeoutMs`; the change may
 * have taken effect then. */
export function requestBlockNodes(
  address: string,
  change: BlockNodesRequest['change'],
  timeoutMs: number,
): Promise<BlockNodesReply> {
  return call(address, timeoutMs, {
    method: AdminService.manageBlockNodes,
    requestCodec: BlockNodesRequest,
    replyCodec: BlockNodesReply,
    request: { change },
  });
}

/** Asks a server whether its cluster is being formed. Rejects when it does not answer within `timeoutMs`. */
export function askFormation(
  address: string,
  request: FormationRequest,
  timeoutMs: number,
): Promise<FormationReply> {
  return call(address, timeoutMs, {
    method: AdminService.formation,
    requestCodec: FormationRequest,
    replyCodec: FormationReply,
    request,
  });
}

async function call<Request, Reply>(
  address: string,
  timeoutMs: number,
  { method, requestCodec, replyCodec, request }: UnaryCall<Request, Reply>,
): Promise<Reply> {
  const { client, destroy } = openClient(address);
  try {
    return await new Promise<Reply>((resolve, reject) => {
      client.makeUnaryRequest(
        method.path,
        serializer(requestCodec),
        deserializer(replyCodec),
        request,
        { deadline: Date.now() + timeoutMs },
        (error, reply) => {
          if (error !== null) reject(new Error(`${address}: ${error.details}`));
          else if (reply === undefined) reject(new Error(`${address}: empty answer`));
          else resolve(reply);
        },
      );
    });
  } finally {
    destroy();
  }
}
