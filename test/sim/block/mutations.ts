import type { BlockReply, BlockRequest } from '../../../src/gen/ringfs/v1/block.ts';
import type { BlockStore } from '../../../src/ports/block-store.ts';
import type { RpcAcceptor, RpcConnector } from '../../../src/ports/rpc.ts';
import type { BlocksMutation } from './simulation.ts';

type Acceptor = RpcAcceptor<BlockRequest, BlockReply>;
type Connector = RpcConnector<BlockRequest, BlockReply>;
type RequestBody = NonNullable<BlockRequest['body']>;
type ReplyBody = NonNullable<BlockReply['body']>;

/** `answer` answers some requests in place of the node. */
function answering(answer: (body: RequestBody) => ReplyBody | undefined): (acceptor: Acceptor) => Acceptor {
  return (acceptor) => (peer) => {
    const handler = acceptor(peer);
    return {
      onRequest: async (body) => answer(body) ?? (await handler.onRequest(body)),
      onClose: () => handler.onClose(),
    };
  };
}

/** The node gets other requests than it is sent. */
function receiving(change: (body: RequestBody) => RequestBody): (acceptor: Acceptor) => Acceptor {
  return (acceptor) => (peer) => {
    const handler = acceptor(peer);
    return {
      onRequest: (body) => handler.onRequest(change(body)),
      onClose: () => handler.onClose(),
    };
  };
}

function vouchForAll(body: RequestBody): ReplyBody | undefined {
  if (body.$case !== 'vouch') return undefined;
  return { $case: 'vouch', value: { vouched: body.value.blockIds.map(() => true) } };
}

/** Those that this node asks at some addresses vouch for everything, whatever they say. */
function believing(isBelieved: (address: string) => boolean): (connector: Connector) => Connector {
  return (connector) => ({
    connect: async (address, options) => {
      const connection = await connector.connect(address, options);
      if (!isBelieved(address)) return connection;
      return {
        call: async (body, callOptions) => {
          const reply = vouchForAll(body);
          return reply ?? (await connection.call(body, callOptions));
        },
        send: (body) => connection.send(body),
        get open() {
          return connection.open;
        },
        close: () => connection.close(),
      };
    },
  });
}

/** Everything of `store` but what `changes` has. */
function changed(store: BlockStore, changes: Partial<BlockStore>): BlockStore {
  return new Proxy(store, {
    get(target, name) {
      const value: unknown = Reflect.get(changes, name) ?? Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** Mistakes planted around block nodes and the collector, who know nothing of them. */
export const BLOCKS_MUTATIONS = {
  /** A put is acknowledged before anything is stored. */
  'acknowledge-early': {
    node: {
      acceptor: answering((body) =>
        body.$case === 'put' && body.value.replicate
          ? { $case: 'put', value: { durableCopies: 2, existed: false } }
          : undefined,
      ),
    },
  },
  /** A node says that it has whatever it is asked for, so that nobody repairs it. */
  'claim-to-have': {
    node: {
      acceptor: answering((body) =>
        body.$case === 'has'
          ? { $case: 'has', value: { present: body.value.blockIds.map(() => true) } }
          : undefined,
      ),
    },
  },
  /** A node that has lost sight of a block says so at once instead of looking. */
  'never-find': {
    node: {
      store: (store, world) =>
        changed(store, {
          get: async (id) => (id.charCodeAt(0) % 4 === world.seed % 4 ? undefined : await store.get(id)),
        }),
    },
  },
  /** The disk acknowledges a write that it forgets. */
  'forget-writes': {
    node: {
      store: (store) =>
        changed(store, {
          put: async (id, data, uploadedAt) =>
            id.charCodeAt(1) % 2 === 0 ? { existed: false } : await store.put(id, data, uploadedAt),
        }),
    },
  },
  /** Nodes delete copies whatever the index of their upload. */
  'delete-without-fence': { metadata: { fence: () => Number.MAX_SAFE_INTEGER } },
  /** A node drops a copy though it has heard of too few others: of every second node it takes for granted that it has one. */
  'drop-with-fewer': { node: { connector: believing((address) => address.charCodeAt(1) % 2 === 0) } },
  /** A node vouches for copies that it does not have, and whether it owns the block or not. */
  'vouch-for-all': { node: { acceptor: answering(vouchForAll) } },
  /** A node vouches for copies without raising their index to that of the copy which is dropped. */
  'vouch-without-index': {
    node: {
      acceptor: receiving((body) => {
        if (body.$case !== 'vouch') return body;
        return { $case: 'vouch', value: { ...body.value, uploadedAt: body.value.blockIds.map(() => 0) } };
      }),
    },
  },
  /** All say at once that they place blocks without the one that drains, that one that it is done, and the others that they have all. */
  'remove-too-early': {
    node: {
      report: ({ drain }) => ({
        placedAt: Number.MAX_SAFE_INTEGER,
        drain: drain && { blocksLeft: 0, bytesLeft: 0, done: true },
      }),
    },
    metadata: { copies: (present) => present.map(() => true) },
  },
  /** Commits do not say how old their uploads are. */
  'commit-without-index': { metadata: { uploadIndex: () => 1e9 } },
} as const satisfies Readonly<Record<string, BlocksMutation>>;
