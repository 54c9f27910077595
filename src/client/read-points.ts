import type { MetaReply, MetaRequest, ReadPoint } from '../gen/ringfs/v1/meta.ts';
import type { RpcConnector } from '../ports/rpc.ts';
import { MetaObserver } from './meta-observer.ts';

type Components = ConstructorParameters<typeof MetaObserver>[0] & {
  readonly connector: RpcConnector<MetaRequest, MetaReply>;
};

/** How a server that follows asks the leader for the right to answer reads: one stream to whoever leads. */
export class ReadPoints {
  readonly #components: Components;
  readonly #options: { readonly name: string; readonly clusterId: string };
  #leader: { readonly address: string; readonly observer: MetaObserver } | undefined;

  constructor(components: Components, options: { readonly name: string; readonly clusterId: string }) {
    this.#components = components;
    this.#options = options;
  }

  /** Rejects when the server at `address` does not answer or lead, and knows of nobody who does. */
  readonly ask = (address: string): Promise<ReadPoint> => {
    if (this.#leader?.address !== address) {
      this.close();
      const options = { ...this.#options, addresses: [address] };
      this.#leader = { address, observer: new MetaObserver(this.#components, options) };
    }
    return this.#leader.observer.readPoint();
  };

  close(): void {
    this.#leader?.observer.close();
    this.#leader = undefined;
  }
}
