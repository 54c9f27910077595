import type { Founders } from '../../core/formation/decide.ts';
import type { FormationReply, FormationRequest } from '../../gen/ringfs/v1/admin.ts';
import { askFormation } from '../../io/grpc/admin-client.ts';
import { Formation, FormationRefusedError, formationReply } from '../../meta/formation.ts';
import type { Timers } from '../../ports/clock.ts';
import type { Logger } from '../../ports/logger.ts';
import { CliError } from '../cli-error.ts';
import type { Peer } from '../values.ts';
import {
  beginLife,
  claimDataDirectory,
  holdsMetadata,
  recordFounders,
  type StoredIdentity,
} from './identity.ts';

/** Servers that a metadata server in `dir` begins with or joins. */
export type Origin = 'peers' | 'join';

/** A metadata server that was started, as its directory shows it. */
export interface Life {
  readonly claimed: StoredIdentity;
  /** It has taken part in Raft, with these founders as far as it knows, and its memory is there. Undefined: it has none, and must not vote
   * before it knows that it never had. */
  readonly founders: Founders | undefined;
}

/** What has been of the metadata in `dir`. Throws CliError when they were there and are gone. */
export function lifeOf(dir: string, claimed: StoredIdentity, origin: Origin): Life {
  const { founders, instanceId, clusterId, serverId } = claimed;
  const present = holdsMetadata(dir);
  if (founders !== undefined) {
    if (present) return { claimed, founders };
    // To join, it must not be a member any more, which is asked.
    if (origin === 'join') return { claimed: beginLife(dir, claimed), founders: undefined };
    throw new CliError(
      `${dir} has no metadata any more: server ${serverId} was a member of the cluster '${clusterId}', and without them it has forgotten its votes`,
      `restore ${dir}/meta; if it is lost, ${replaceHint(serverId)}`,
    );
  }
  // Of a version that recorded no founders.
  if (instanceId === undefined) {
    return present ? { claimed, founders: {} } : { claimed: beginLife(dir, claimed), founders: undefined };
  }
  // Its metadata may have been made, but until its founders were recorded it did not vote.
  return { claimed, founders: undefined };
}

const replaceHint = (serverId: string): string =>
  `remove it on a healthy server (ringfs cluster remove ${serverId} --servers HOST:PORT), start it under a new id ` +
  'with --join HOST:PORT in place of --peers, and add that (ringfs cluster add ID=HOST:PORT)';

/** What an operator is told. */
export function refusal(serverId: string, clusterId: string, error: FormationRefusedError): CliError {
  if (error.clusterId !== clusterId) {
    return new CliError(
      `at the address of ${error.peer} (${error.address}) is a server of the cluster '${error.clusterId}', not of '${clusterId}', and this server's data directory is empty`,
      `correct --peers or --cluster-id; if this server was a member of that cluster and has lost its data, ${replaceHint(serverId)}`,
    );
  }
  return new CliError(
    `the cluster exists already (says ${error.peer} at ${error.address}) and does not know this empty data directory: ${serverId} would vote without remembering what it has voted for and stored`,
    `start it with its own data; if that is lost, ${replaceHint(serverId)}`,
  );
}

/** It was told to end while it waited for other servers. */
export class StartStoppedError extends Error {
  override readonly name = 'StartStoppedError';
}

export interface FirstStartOptions {
  readonly id: string;
  readonly clusterId: string;
  readonly data: string;
  /** Empty for a server that joins. */
  readonly peers: readonly Peer[];
  /** Whether it has the role. */
  readonly meta: boolean;
}

/** The data directory of a server process, and whether that may take part in Raft. */
export class FirstStart {
  readonly #components: { readonly timers: Timers; readonly logger: Logger };
  readonly #options: FirstStartOptions;
  readonly #abort = new AbortController();
  #life: Life;
  #formation: Formation | undefined;

  /** Claims the directory. Throws CliError. */
  constructor(components: { readonly timers: Timers; readonly logger: Logger }, options: FirstStartOptions) {
    this.#components = components;
    this.#options = options;
    const { data, id, clusterId, peers, meta } = options;
    const claimed = claimDataDirectory(data, { clusterId, serverId: id });
    this.#life = meta
      ? lifeOf(data, claimed, peers.length === 0 ? 'join' : 'peers')
      : { claimed, founders: undefined };
  }

  /** It has taken part before, and has its memory of it. */
  get restarts(): boolean {
    return this.#life.founders !== undefined;
  }

  /**
   * With whom the cluster begins. A server without Raft's memory must know that it never had one; the others have to reach it for
   * that, so it calls `listen` first. Throws CliError, StartStoppedError.
   */
  async founders(listen: () => Promise<void>): Promise<Founders> {
    const { id, clusterId, peers, meta } = this.#options;
    const { founders, claimed } = this.#life;
    if (founders !== undefined) return founders;
    if (!meta || peers.length === 0 || claimed.instanceId === undefined) return {};
    const options = { id, instanceId: claimed.instanceId, clusterId, peers };
    this.#formation = new Formation({ ask: askFormation, ...this.#components }, options);
    await listen();
    try {
      return await this.#formation.decided(this.#abort.signal);
    } catch (error) {
      throw error instanceof FormationRefusedError ? refusal(id, clusterId, error) : error;
    } finally {
      this.#formation = undefined;
    }
  }

  /** The next start without metadata must know that it had them, and others that this server votes. */
  record(founders: Founders): void {
    const claimed = recordFounders(this.#options.data, this.#life.claimed, founders);
    this.#life = { claimed, founders };
  }

  /** What it tells another server that asks. */
  answer(request: FormationRequest): FormationReply {
    const { id, clusterId, meta, peers } = this.#options;
    this.#formation?.heard(request);
    const { claimed, founders } = this.#life;
    const self = { id, clusterId, instanceId: claimed.instanceId ?? '' };
    return formationReply(self, { meta, peers, founders });
  }

  /** Servers that it waits for. */
  get waiting(): readonly string[] {
    return this.#formation?.waiting ?? [];
  }

  /** Ends a wait for other servers, which rejects with StartStoppedError then. */
  stop(): void {
    this.#abort.abort(new StartStoppedError());
  }
}
