import {
  FORMATION_ASK_TIMEOUT_MS,
  FORMATION_NOTICE_MS_MAX,
  FORMATION_NOTICE_MS_MIN,
  FORMATION_PAUSE_MS_MAX,
  FORMATION_PAUSE_MS_MIN,
} from '../base/limits.ts';
import {
  type Candidate,
  type Decision,
  decide,
  type Founders,
  type Round,
  type Waiting,
} from '../core/formation/decide.ts';
import { type FormationReply, type FormationRequest, FormationState } from '../gen/ringfs/v1/admin.ts';
import type { Timers } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';

/** Rejects when the server does not answer within `timeoutMs`. */
export type AskPeer = (
  address: string,
  request: FormationRequest,
  timeoutMs: number,
) => Promise<FormationReply>;

export interface FormationComponents {
  readonly ask: AskPeer;
  readonly timers: Timers;
  readonly logger: Logger;
}

export interface FormationOptions {
  readonly id: string;
  readonly instanceId: string;
  readonly clusterId: string;
  /** All --peers, this server included. */
  readonly peers: readonly { readonly id: string; readonly address: string }[];
}

/** This server may have been a member of a cluster that exists, and has no memory of it. */
export class FormationRefusedError extends Error {
  override readonly name = 'FormationRefusedError';
  readonly peer: string;
  readonly address: string;
  readonly clusterId: string;
  constructor(peer: string, address: string, clusterId: string) {
    super(`${peer} (${address}) is a member of a cluster that does not know this data directory`);
    this.peer = peer;
    this.address = address;
    this.clusterId = clusterId;
  }
}

/** What keeps a server without Raft's memory from voting until it knows that the cluster is being formed for the first time. */
export class Formation {
  readonly #components: FormationComponents;
  readonly #self: Candidate;
  readonly #others: readonly { readonly id: string; readonly address: string }[];
  #round: Round | undefined;
  #waiting: readonly Waiting[] = [];
  #wake: AbortController | undefined;
  /** Somebody has asked who was silent, or somebody else, when this server asked. */
  #news = false;
  #startedMs = 0;
  #noticeMs = FORMATION_NOTICE_MS_MIN;

  constructor(components: FormationComponents, options: FormationOptions) {
    this.#components = components;
    const { id, instanceId, clusterId, peers } = options;
    this.#self = { id, instanceId, clusterId, peers: peers.map((peer) => peer.id) };
    this.#others = peers.filter((peer) => peer.id !== id);
  }

  /** Servers without which it cannot be decided, as of the last round. */
  get waiting(): readonly string[] {
    return this.#waiting.map(({ id }) => id);
  }

  /** Another server asks: it is there, so it may be worth asking it at once. */
  heard({ id, instanceId }: FormationRequest): void {
    const last = this.#round?.get(id);
    const known = last !== undefined && !('silent' in last) && last.instanceId === instanceId;
    if (known || !this.#others.some((other) => other.id === id)) return;
    this.#news = true;
    this.#wake?.abort();
  }

  /** Resolves when this server may take part, with whom the cluster begins. Rejects with FormationRefusedError, or as `signal` says. */
  async decided(signal: AbortSignal): Promise<Founders> {
    const { logger, timers } = this.#components;
    this.#startedMs = timers.nowMs();
    let pauseMs = FORMATION_PAUSE_MS_MIN;
    for (;;) {
      this.#news = false;
      const before = this.#round;
      this.#round = await this.#ask(signal);
      const decision = decide(this.#self, before, this.#round);
      if (decision.kind === 'form' || decision.kind === 'follow') {
        this.#waiting = [];
        logger.info({ founders: decision.founders }, 'the cluster is formed for the first time');
        return decision.founders;
      }
      if (decision.kind === 'refuse') throw this.#refused(decision);
      if (decision.kind === 'again') continue;
      this.#waiting = decision.waiting;
      this.#notice();
      if (this.#hasNews()) continue;
      await this.#pause(pauseMs, signal);
      pauseMs = Math.min(2 * pauseMs, FORMATION_PAUSE_MS_MAX);
    }
  }

  #hasNews(): boolean {
    return this.#news;
  }

  async #ask(signal: AbortSignal): Promise<Round> {
    signal.throwIfAborted();
    const { id, instanceId } = this.#self;
    const answers = this.#others.map(
      async (other): Promise<[string, FormationReply | { silent: string }]> => {
        try {
          const request = { id, instanceId };
          return [other.id, await this.#components.ask(other.address, request, FORMATION_ASK_TIMEOUT_MS)];
        } catch (error) {
          return [other.id, { silent: `it does not answer (${(error as Error).message})` }];
        }
      },
    );
    let onAbort = (): void => undefined;
    const aborted = new Promise<never>((_, reject) => {
      onAbort = () => reject(signal.reason as Error);
      signal.addEventListener('abort', onAbort, { once: true });
    });
    try {
      return new Map(await Promise.race([Promise.all(answers), aborted]));
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** Until somebody is heard. */
  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    const wake = new AbortController();
    const onAbort = (): void => wake.abort();
    signal.addEventListener('abort', onAbort, { once: true });
    this.#wake = wake;
    try {
      await this.#components.timers.sleep(ms, wake.signal);
    } catch {
      signal.throwIfAborted();
    } finally {
      this.#wake = undefined;
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** Rarer and rarer, and not at all while everybody is just starting. */
  #notice(): void {
    const { logger, timers } = this.#components;
    const waitedMs = timers.nowMs() - this.#startedMs;
    if (waitedMs < this.#noticeMs) return;
    this.#noticeMs =
      waitedMs + Math.min(Math.max(waitedMs, FORMATION_NOTICE_MS_MIN), FORMATION_NOTICE_MS_MAX);
    logger.warn(
      { waiting: this.#waiting },
      'this server has no data yet and takes part once all servers of --peers have answered',
    );
  }

  #refused({ peer, clusterId }: Extract<Decision, { kind: 'refuse' }>): FormationRefusedError {
    const address = this.#others.find((other) => other.id === peer)?.address ?? '';
    return new FormationRefusedError(peer, address, clusterId);
  }
}

/** What a server says of itself when it is asked. `founders`: undefined while it has not taken part. */
export function formationReply(
  self: { readonly id: string; readonly clusterId: string; readonly instanceId: string },
  more: {
    readonly meta: boolean;
    readonly peers: readonly { readonly id: string }[];
    readonly founders: Founders | undefined;
  },
): FormationReply {
  const { id, clusterId, instanceId } = self;
  const nothing = { id, clusterId, instanceId: '', peers: [], founders: [] };
  if (!more.meta) return { ...nothing, state: FormationState.NO_METADATA };
  if (more.founders === undefined) {
    const peers = more.peers.map((peer) => peer.id).sort();
    return { ...nothing, state: FormationState.FORMING, instanceId, peers };
  }
  const founders = Object.entries(more.founders).map(([founder, instance]) => ({
    id: founder,
    instanceId: instance,
  }));
  return { ...nothing, state: FormationState.FORMED, founders };
}
