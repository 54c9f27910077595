import type { Random } from '../base/random.ts';
import type { Hello, HelloReply } from '../gen/ringfs/v1/meta.ts';

const NONCE_BYTES = 16;

/**
 * Who this client is to the cluster: the session under which its commits are remembered. It outlives connections and
 * leaders; only the cluster ends it, when it heard nothing of the client for the session's time to live.
 */
export class Session {
  readonly #random: Random;
  readonly #clientName: string;
  #clusterId: string;
  #id = 0;
  #nonce: Uint8Array;

  constructor(
    random: Random,
    options: { readonly clientName: string; readonly clusterId?: string | undefined },
  ) {
    this.#random = random;
    this.#clientName = options.clientName;
    this.#clusterId = options.clusterId ?? '';
    this.#nonce = random.bytes(NONCE_BYTES);
  }

  /** 0: not opened yet. */
  get id(): number {
    return this.#id;
  }

  get clusterId(): string {
    return this.#clusterId;
  }

  /**
   * The nonce stays the same until the session is open, so that a retry finds the session that a lost reply opened. `relay`: a server
   * that follows is to carry the stream to the leader.
   */
  hello(relay: boolean): Hello {
    return {
      session: this.#id,
      nonce: this.#nonce,
      client: this.#clientName,
      clusterId: this.#clusterId,
      observer: false,
      relay,
    };
  }

  /** From now on only this cluster will do: a server of another one at the same address is refused. */
  opened(reply: HelloReply): void {
    this.#id = reply.session;
    this.#clusterId = reply.clusterId;
  }

  /** The cluster does not know session `id` (any more). False when that was dealt with already. */
  lost(id: number): boolean {
    if (id === 0 || id !== this.#id) return false;
    this.#id = 0;
    this.#nonce = this.#random.bytes(NONCE_BYTES);
    return true;
  }
}
