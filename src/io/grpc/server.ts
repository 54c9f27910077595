import { Server, ServerCredentials, type ServerWritableStream } from '@grpc/grpc-js';
import type {
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
} from '../../gen/ringfs/v1/admin.ts';
import type { BlockReply, BlockRequest } from '../../gen/ringfs/v1/block.ts';
import { MetaReply, MetaRequest } from '../../gen/ringfs/v1/meta.ts';
import type { SnapshotPart } from '../../gen/ringfs/v1/raft.ts';
import { AdminService, BlockService, MetaService, RaftService } from '../../gen/ringfs/v1/service.ts';
import type { Logger } from '../../ports/logger.ts';
import type { RaftReceiver } from '../../ports/raft-transport.ts';
import type { RpcAcceptor } from '../../ports/rpc.ts';
import { blockReplyCodec, blockRequestCodec } from './block-codec.ts';
import { SERVER_OPTIONS } from './channel-options.ts';
import { raftServiceHandlers } from './raft-server.ts';
import { serveParts } from './serve-parts.ts';
import { raiseConnectionWindow, raiseStreamWindow } from './server-window.ts';
import { serveStream, streamMethod } from './stream-server.ts';

/** The port is taken, or the address is not one of this machine's. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
}

/** What operators ask of one server process. */
export interface AdminHandlers {
  status(): Promise<ServerStatus>;
  changeMembers(request: ChangeMembersRequest): Promise<ChangeMembersReply>;
  /** Rejects with what the caller is told. */
  dump(): Promise<AsyncIterableIterator<SnapshotPart>>;
  garbage(request: GarbageRequest): Promise<GarbageReply>;
  manageBlockNodes(request: BlockNodesRequest): Promise<BlockNodesReply>;
  formation(request: FormationRequest): Promise<FormationReply>;
}

type UnaryHandler<Request, Reply> = (
  call: { readonly request: Request },
  callback: (error: Error | null, reply?: Reply) => void,
) => void;

function unary<Request, Reply>(handle: (request: Request) => Promise<Reply>): UnaryHandler<Request, Reply> {
  return ({ request }, callback) => {
    handle(request).then(
      (reply) => callback(null, reply),
      (error: unknown) => callback(error instanceof Error ? error : new Error(String(error))),
    );
  };
}

/** One process's gRPC server: the services of its roles behind one port. Services may be added while it listens. */
export class GrpcServer {
  readonly #server = new Server(SERVER_OPTIONS);
  readonly #logger: Logger;

  constructor(components: { logger: Logger }) {
    this.#logger = components.logger;
    if (!raiseStreamWindow(this.#server)) {
      this.#logger.warn(
        {},
        'this version of grpc-js does not let the receive window be raised; uploads will be slower',
      );
    }
  }

  addMeta(acceptor: RpcAcceptor<MetaRequest, MetaReply>): void {
    const session = streamMethod(MetaService.session.path, MetaRequest);
    this.#server.addService({ session }, { session: serveStream(acceptor, MetaReply, this.#logger) });
  }

  addBlock(acceptor: RpcAcceptor<BlockRequest, BlockReply>): void {
    const exchange = streamMethod(BlockService.exchange.path, blockRequestCodec);
    this.#server.addService({ exchange }, { exchange: serveStream(acceptor, blockReplyCodec, this.#logger) });
  }

  addRaft(receiver: RaftReceiver): void {
    this.#server.addService(RaftService, raftServiceHandlers(receiver, this.#logger));
  }

  addAdmin(handlers: AdminHandlers): void {
    this.#server.addService(AdminService, {
      status: unary(handlers.status),
      changeMembers: unary(handlers.changeMembers),
      dump: (call: ServerWritableStream<DumpRequest, SnapshotPart>) => serveParts(call, handlers.dump),
      garbage: unary(handlers.garbage),
      manageBlockNodes: unary(handlers.manageBlockNodes),
      formation: unary(handlers.formation),
    });
  }

  /** Binds and serves. Returns the port, which differs from the given one only for port 0. Throws ListenError. */
  async listen(address: string): Promise<number> {
    const port = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync(address, ServerCredentials.createInsecure(), (error, bound) => {
        if (error === null) resolve(bound);
        else reject(new ListenError(`cannot listen on ${address}: ${error.message}`));
      });
    });
    raiseConnectionWindow(this.#server);
    return port;
  }

  close(): void {
    this.#server.forceShutdown();
  }
}
