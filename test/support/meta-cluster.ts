import { defined } from '../../src/base/assert.ts';
import { seededRandom } from '../../src/base/random.ts';
import { MetaClient, type MetaClientOptions } from '../../src/client/meta-client.ts';
import { ReadPoints } from '../../src/client/read-points.ts';
import { MetaReply, MetaRequest } from '../../src/gen/ringfs/v1/meta.ts';
import { MetaServer } from '../../src/meta/meta-server.ts';
import { MemoryReplica } from './memory-replica.ts';
import { MemoryNetwork } from './memory-rpc.ts';
import { NamespaceMachine } from './namespace-machine.ts';
import { RecordingLogger } from './recording-logger.ts';
import { VirtualTimers } from './virtual-timers.ts';

interface Member {
  readonly address: string;
  readonly replica: MemoryReplica;
  readonly server: MetaServer;
}

/**
 * Real meta servers over the real state machine, without Raft: the replicas share one log, and the test says who leads.
 * Clients talk to them over a network that encodes every message.
 */
export class MetaCluster {
  readonly timers = new VirtualTimers();
  readonly machine = new NamespaceMachine();
  readonly network: MemoryNetwork<MetaRequest, MetaReply>;
  readonly members: Member[];
  readonly logger = new RecordingLogger();
  #seed: number;

  readonly #relays: boolean;

  /** `relays`: members that follow carry clients to the leader. Default true. */
  constructor(
    options: {
      readonly members?: number;
      readonly seed?: number;
      readonly latencyMs?: () => number;
      readonly relays?: boolean;
    } = {},
  ) {
    this.#relays = options.relays ?? true;
    this.#seed = options.seed ?? 1;
    this.network = new MemoryNetwork<MetaRequest, MetaReply>(
      { timers: this.timers },
      {
        latencyMs: options.latencyMs ?? (() => 1),
        copyRequest: (m: MetaRequest) => MetaRequest.decode(MetaRequest.encode(m).finish()),
        copyReply: (m: MetaReply) => MetaReply.decode(MetaReply.encode(m).finish()),
      },
    );
    this.members = Array.from({ length: options.members ?? 3 }, (_, i) => this.#member(`s${i + 1}`));
    const all = this.members.map(({ replica, address }) => ({ id: replica.id, address, voter: true }));
    for (const { replica } of this.members) replica.memberList = all;
    this.members[0]?.replica.init();
    this.elect(0);
  }

  member(index: number): Member {
    return defined(this.members[index], 'member');
  }

  get leader(): Member | undefined {
    return this.members.find((m) => m.replica.isLeader());
  }

  /** The others follow it. */
  elect(index: number): void {
    const leader = this.member(index);
    this.depose(leader.replica.id);
    leader.replica.becomeLeader();
  }

  /** Nobody leads; they follow `next`, if it is said. */
  depose(next?: string): void {
    for (const { replica } of this.members) replica.becomeFollower(next);
  }

  /** The leader's process dies, and another member is elected later. */
  kill(index: number): void {
    const { address, replica } = this.member(index);
    this.network.kill(address);
    replica.becomeFollower();
  }

  restart(index: number): void {
    const { address, server } = this.member(index);
    this.network.listen(address, server.accept);
  }

  client(name: string, options: Partial<MetaClientOptions> = {}): MetaClient {
    return new MetaClient(
      {
        connector: this.network.connector(name),
        timers: this.timers,
        random: seededRandom(this.#seed++),
        logger: this.logger,
      },
      { addresses: this.members.map((m) => m.address), clientName: name, ...options },
    );
  }

  /** A client that holds a lease. */
  async leased(name: string, options: Partial<MetaClientOptions> = {}): Promise<MetaClient> {
    const client = this.client(name, options);
    await this.timers.until(() => client.stats().leaseHeld, 10_000, 'lease');
    return client;
  }

  /** Requests of one kind that reach a server from now on. */
  count($case: string): () => number {
    let count = 0;
    const before = this.network.onDeliver;
    this.network.onDeliver = (message) => {
      if (message.kind === 'request' && message.body.$case === $case) count++;
      return before?.(message);
    };
    return () => count;
  }

  #member(id: string): Member {
    const replica = new MemoryReplica(id, this.machine);
    const points = new ReadPoints(
      {
        connector: this.network.connector(`${id}:1`),
        timers: this.timers,
        random: seededRandom(this.#seed++),
        logger: this.logger,
      },
      { name: id, clusterId: '' },
    );
    const server = new MetaServer({
      replica,
      askLeader: points.ask,
      ...(this.#relays && { connector: this.network.connector(`${id}:1`) }),
      timers: this.timers,
      random: seededRandom(this.#seed++),
      logger: this.logger,
    });
    server.start();
    const address = `${id}:1`;
    this.network.listen(address, server.accept);
    return { address, replica, server };
  }
}
