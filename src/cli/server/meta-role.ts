import path from 'node:path';
import type { ServerId } from '../../base/ids.ts';
import { BlockConnections } from '../../client/connections.ts';
import { ReadPoints } from '../../client/read-points.ts';
import type { Founders } from '../../core/formation/decide.ts';
import { blockConnector, metaConnector } from '../../io/grpc/connectors.ts';
import { GrpcRaftTransport } from '../../io/grpc/raft-transport.ts';
import { openMetaStorage } from '../../io/rocksdb/meta-storage.ts';
import { Dumps, dumpOf } from '../../meta/maintenance/dumps.ts';
import { MetaServer } from '../../meta/meta-server.ts';
import type { Failpoint } from '../../meta/raft/failpoint.ts';
import { RaftReplica } from '../../meta/raft/raft-replica.ts';
import type { Logger } from '../../ports/logger.ts';
import { asksBy, deletesBy } from './copies-by-rpc.ts';
import { failpointOf } from './failpoint.ts';
import type { FirstStart } from './first-start.ts';
import type { RoleComponents } from './role-components.ts';
import type { ServerOptions } from './server-options.ts';

interface Parts {
  readonly replica: RaftReplica;
  readonly server: MetaServer;
  readonly transport: GrpcRaftTransport;
  readonly blockNodes: BlockConnections;
  readonly readPoints: ReadPoints;
}

/** A replica of the metadata on this machine's disk and network, and the server that answers from it. */
export class MetaRole {
  readonly replica: RaftReplica;
  readonly server: MetaServer;
  readonly dumps: Dumps;
  readonly #parts: Parts;
  readonly #options: ServerOptions;

  private constructor(parts: Parts, options: ServerOptions) {
    this.replica = parts.replica;
    this.server = parts.server;
    this.dumps = new Dumps(dumpOf(parts.replica, parts.server.unleased));
    this.#parts = parts;
    this.#options = options;
  }

  /** Takes no part yet. Throws what the stores say of a damaged directory. */
  static async open(
    { timers, random, logger, fail }: RoleComponents,
    options: ServerOptions,
    firstStart: FirstStart,
    founders: Founders,
  ): Promise<MetaRole> {
    const { id, clusterId, peers, advertise, data, replicas } = options;
    const serverId = id as ServerId;
    let replica: RaftReplica | undefined;
    const transport = new GrpcRaftTransport(
      { logger, onUnreachable: (peer) => replica?.reportUnreachable(peer) },
      { id: serverId, address: advertise, clusterId },
    );
    const storage = await openMetaStorage(path.join(data, 'meta'), {
      onDamaged: (error) => replica?.damaged(error.message),
    });
    replica = new RaftReplica(
      {
        timers,
        random,
        logger,
        transport,
        storage,
        onFailed: (reason) => fail(`the metadata replica ${reason}`),
        ...(!firstStart.restarts && { beforeTakingPart: () => firstStart.record(founders) }),
        ...failpoint(options, logger, () => replica?.isLeader() === true),
      },
      {
        id: serverId,
        clusterId,
        replicas,
        restarts: firstStart.restarts,
        members: peers.map((peer) => ({ id: peer.id as ServerId, address: peer.address })),
      },
    );
    const blockNodes = new BlockConnections(
      { connector: blockConnector(), timers, random, logger },
      { clientName: `meta server ${id}`, clusterId },
    );
    const connector = metaConnector();
    const readPoints = new ReadPoints(
      { connector, timers, random, logger },
      { name: `reads at ${id}`, clusterId },
    );
    const server = new MetaServer({
      replica,
      askLeader: readPoints.ask,
      connector,
      timers,
      random,
      logger,
      garbage: { graceMs: options.gcGraceMs, deleteCopies: deletesBy(blockNodes) },
      hasCopies: asksBy(blockNodes),
    });
    return new MetaRole({ replica, server, transport, blockNodes, readPoints }, options);
  }

  async start(): Promise<void> {
    this.server.start();
    await this.replica.start();
  }

  /** Why nothing can be changed through this server; undefined when it can. */
  withoutLeader(): string | undefined {
    if (this.replica.leader() !== undefined) return undefined;
    const { id, advertise } = this.#options;
    const { role } = this.replica.status();
    if (role === 'joining') return `waits to be added: ringfs cluster add ${id}=${advertise}`;
    if (role === 'removed') return 'was removed from the metadata cluster and can be stopped';
    return 'no leader is known';
  }

  /** Answers nobody any more, and asks nobody. */
  quiesce(): void {
    this.server.stop();
    this.#parts.blockNodes.close();
    this.#parts.readPoints.close();
  }

  async close(): Promise<void> {
    await this.replica.stop();
    await this.#parts.transport.close();
  }
}

function failpoint(
  { failpoint: spec }: ServerOptions,
  logger: Logger,
  isLeader: () => boolean,
): { readonly failpoint?: Failpoint } {
  if (spec === undefined) return {};
  logger.warn(spec, 'a failpoint is set: this process will kill itself');
  return { failpoint: failpointOf(spec, isLeader, () => process.kill(process.pid, 'SIGKILL')) };
}
