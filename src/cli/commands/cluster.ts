import Table from 'cli-table3';
import type { ChangeMembersReply, ChangeMembersRequest, ServerStatus } from '../../gen/ringfs/v1/admin.ts';
import { fetchServerStatus, requestMemberChange } from '../../io/grpc/admin-client.ts';
import { SystemTimers } from '../../io/os/system-timers.ts';
import { CliError, usageError } from '../cli-error.ts';
import { serversIn } from '../run-state.ts';
import { parseAddresses, parseInteger, parsePeers, parseServerId } from '../values.ts';

const ASK_TIMEOUT_MS = 3_000;
const POLL_INTERVAL_MS = 200;
/** A wait for a member to catch up says this often how far it is. */
const PROGRESS_INTERVAL_MS = 2_000;

export interface ClusterFlags {
  readonly data: string;
  readonly servers?: string;
  readonly timeout: string;
  readonly json?: boolean;
  readonly learner?: boolean;
  readonly force?: boolean;
}

type Change = NonNullable<ChangeMembersRequest['change']>;

interface Member {
  readonly id: string;
  readonly address: string;
  readonly role: 'leader' | 'voter' | 'learner';
  /** Entries; null where the leader has not heard of it. */
  readonly behind: number | null;
  readonly answers: boolean;
}

/** Replaced by tests. */
export interface ClusterCalls {
  fetchStatus(address: string, timeoutMs: number): Promise<ServerStatus>;
  changeMembers(address: string, change: Change, timeoutMs: number): Promise<ChangeMembersReply>;
  nowMs(): number;
  sleep(ms: number): Promise<void>;
}

const timers = new SystemTimers();
const PRODUCTION: ClusterCalls = {
  fetchStatus: fetchServerStatus,
  changeMembers: requestMemberChange,
  nowMs: () => timers.nowMs(),
  sleep: (ms) => timers.sleep(ms),
};

/** The metadata cluster as an operator sees it: finds the leader and asks it, until a deadline. Throws CliError. */
export class ClusterClient {
  readonly #calls: ClusterCalls;
  readonly #timeoutMs: number;
  #endMs: number;
  #addresses: readonly string[];

  constructor(addresses: readonly string[], timeoutMs: number, calls: ClusterCalls = PRODUCTION) {
    this.#addresses = addresses;
    this.#calls = calls;
    this.#timeoutMs = timeoutMs;
    this.#endMs = calls.nowMs() + timeoutMs;
  }

  /** As the leader sees the members. */
  async members(): Promise<Member[]> {
    return membersOf(await this.#leader());
  }

  /** Returns when `change` has taken effect, which may have been before. */
  async change(change: Change, isDone: (members: readonly Member[]) => boolean): Promise<Member[]> {
    let why = 'nothing was tried';
    for (;;) {
      const leader = await this.#leader(why);
      const members = membersOf(leader);
      if (isDone(members)) return members;
      const reply = await this.#calls.changeMembers(leader.address, change, ASK_TIMEOUT_MS).catch(
        (error: unknown): ChangeMembersReply => ({
          result: { $case: 'retry', value: (error as Error).message },
        }),
      );
      const { result } = reply;
      if (result?.$case === 'refused') throw new CliError(result.value);
      if (result?.$case === 'retry') why = result.value;
      await this.#pause(why);
    }
  }

  /** Waits until `isDone`, telling `onWait` of the members now and then. */
  async wait(
    isDone: (members: readonly Member[]) => boolean,
    onWait: (members: readonly Member[]) => void,
  ): Promise<Member[]> {
    let toldMs = Number.NEGATIVE_INFINITY;
    for (;;) {
      const members = await this.members();
      if (isDone(members)) return members;
      if (this.#calls.nowMs() - toldMs >= PROGRESS_INTERVAL_MS) {
        onWait(members);
        toldMs = this.#calls.nowMs();
      }
      await this.#pause('the member has not caught up yet; it goes on by itself');
    }
  }

  /** Asks whoever leads until the answer is not to try again. */
  async ask<T>(
    request: (leader: string) => Promise<{ readonly done: T } | { readonly retry: string }>,
  ): Promise<T> {
    let why = 'nothing was tried';
    for (;;) {
      const { address } = await this.#leader(why);
      const answer = await request(address).catch((error: unknown) => {
        if (error instanceof CliError) throw error;
        return { retry: (error as Error).message };
      });
      if ('done' in answer) return answer.done;
      why = answer.retry;
      await this.#pause(why);
    }
  }

  /** Something has moved: the time to wait begins anew. */
  progressed(): void {
    this.#endMs = this.#calls.nowMs() + this.#timeoutMs;
  }

  /** Waits a moment. Throws CliError with `why` when the time is over. */
  pause(why: string): Promise<void> {
    return this.#pause(why);
  }

  async #leader(why = 'no leader'): Promise<ServerStatus> {
    let reason = why;
    for (;;) {
      const answers = await Promise.allSettled(
        this.#addresses.map((address) => this.#calls.fetchStatus(address, ASK_TIMEOUT_MS)),
      );
      const statuses = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
      if (statuses.length === 0) reason = 'no server answers';
      else this.#learn(statuses);
      const leaders = statuses.filter((status) => status.raft?.role === 'leader');
      // A deposed leader may not know yet.
      leaders.sort((a, b) => (b.raft?.term ?? 0) - (a.raft?.term ?? 0));
      if (leaders[0] !== undefined) return leaders[0];
      await this.#pause(reason);
    }
  }

  #learn(statuses: readonly ServerStatus[]): void {
    const named = statuses.flatMap((status) => status.metaMembers.map((member) => member.address));
    this.#addresses = [...new Set([...this.#addresses, ...named])].filter((address) => address !== '');
  }

  async #pause(why: string): Promise<void> {
    if (this.#calls.nowMs() + POLL_INTERVAL_MS > this.#endMs) {
      throw new CliError(
        `gave up waiting: ${why}`,
        'see: ringfs status, or wait longer with --timeout SECONDS',
      );
    }
    await this.#calls.sleep(POLL_INTERVAL_MS);
  }
}

function membersOf(leader: ServerStatus): Member[] {
  const { raft } = leader;
  if (raft === undefined) return [];
  const address = (id: string): string => leader.metaMembers.find((m) => m.id === id)?.address ?? '';
  return [...raft.voters, ...raft.learners].sort().map((id) => {
    const peer = raft.peers.find((p) => p.id === id);
    const own = id === leader.id;
    const role = own ? 'leader' : raft.voters.includes(id) ? 'voter' : 'learner';
    const behind = own ? 0 : peer === undefined ? null : Math.max(0, raft.lastIndex - peer.matchIndex);
    return {
      id,
      address: own ? leader.address : address(id),
      role,
      behind,
      answers: own || peer?.recentlyActive === true,
    };
  });
}

/** Throws CliError when neither addresses nor a cluster's directory is named. */
export function clientOf(flags: Pick<ClusterFlags, 'data' | 'servers' | 'timeout'>): ClusterClient {
  const timeoutMs = parseInteger(flags.timeout, '--timeout', 1, 86_400) * 1_000;
  if (flags.servers !== undefined)
    return new ClusterClient(parseAddresses(flags.servers, '--servers'), timeoutMs);
  const servers = serversIn(
    flags.data,
    'name servers: --servers HOST:PORT[,HOST:PORT...], or the data directory with --data',
  );
  return new ClusterClient(
    servers.map((server) => server.address),
    timeoutMs,
  );
}

function print(flags: ClusterFlags, members: readonly Member[], line: string): void {
  if (flags.json === true) {
    process.stdout.write(`${JSON.stringify({ members }, null, 2)}\n`);
    return;
  }
  const table = new Table({
    head: ['server', 'address', 'role', 'behind', 'answers'],
    style: { head: [], border: [] },
  });
  for (const { id, address, role, behind, answers } of members) {
    table.push([id, address, role, behind ?? '?', answers ? 'yes' : 'no']);
  }
  process.stdout.write(`${table.toString()}\n${line}\n`);
}

const find = (members: readonly Member[], id: string): Member | undefined => members.find((m) => m.id === id);

export async function runClusterList(flags: ClusterFlags): Promise<void> {
  const members = await clientOf(flags).members();
  const voters = members.filter((member) => member.role !== 'learner').length;
  print(flags, members, `${voters} voters: ${Math.floor((voters - 1) / 2)} of them may fail`);
}

export async function runClusterAdd(member: string, flags: ClusterFlags): Promise<void> {
  const peers = parsePeers(member, 'MEMBER');
  const [peer] = peers;
  if (peer === undefined || peers.length > 1) throw usageError('one member at a time', 'write ID=HOST:PORT');
  const { id, address } = peer;
  const learner = flags.learner === true;
  const client = clientOf(flags);
  const before = find(await client.members(), id);
  if (before !== undefined && before.role !== 'learner') throw new CliError(`${id} is a member already`);
  const add: Change = { $case: 'add', value: { id, address, learner } };
  let members = await client.change(add, (all) => find(all, id) !== undefined);
  if (!learner) {
    members = await client.wait(
      (all) => find(all, id)?.role !== 'learner',
      (all) => progress(flags, id, find(all, id)),
    );
  }
  print(flags, members, learner ? `${id} learns` : `${id} votes`);
}

function progress(flags: ClusterFlags, id: string, member: Member | undefined): void {
  if (flags.json === true) return;
  const state = member?.answers === true ? `${member.behind ?? '?'} entries behind` : 'does not answer yet';
  process.stderr.write(`${id}: ${state}; it votes as soon as it has caught up\n`);
}

export async function runClusterPromote(id: string, flags: ClusterFlags): Promise<void> {
  const value = parseServerId(id, 'ID');
  const members = await clientOf(flags).change({ $case: 'promote', value }, (all) => {
    const member = find(all, value);
    return member !== undefined && member.role !== 'learner';
  });
  print(flags, members, `${value} votes`);
}

export async function runClusterRemove(id: string, flags: ClusterFlags): Promise<void> {
  const value = { id: parseServerId(id, 'ID'), force: flags.force === true };
  const client = clientOf(flags);
  if (find(await client.members(), value.id) === undefined) throw new CliError(`${value.id} is not a member`);
  const members = await client.change({ $case: 'remove', value }, (all) => find(all, value.id) === undefined);
  print(
    flags,
    members,
    `${value.id} was removed; its process can be stopped and must not be started with its old data again`,
  );
}

export async function runClusterTransfer(id: string, flags: ClusterFlags): Promise<void> {
  const value = parseServerId(id, 'ID');
  const change: Change = { $case: 'transferTo', value };
  const members = await clientOf(flags).change(change, (all) => find(all, value)?.role === 'leader');
  print(flags, members, `${value} leads`);
}
