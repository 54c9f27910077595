import type { Socket } from 'node:net';
import { type ChannelCredentials, Client, credentials } from '@grpc/grpc-js';
import { CLIENT_OPTIONS } from './channel-options.ts';

export interface OpenClient {
  readonly client: Client;
  /** Closes the client and its sockets, whatever state they are in. */
  destroy(): void;
}

/**
 * A client of one address. grpc-js forgets a socket whose peer has accepted it and then stays silent (a stopped process):
 * closing the client leaves it behind, one for every try. So the credentials, through which grpc-js passes each socket, keep
 * hold of it.
 */
export function openClient(address: string): OpenClient {
  const sockets = new Set<Socket>();
  let destroyed = false;
  const client = new Client(
    address,
    watchedCredentials((socket) => {
      if (destroyed) socket.destroy();
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
    }),
    CLIENT_OPTIONS,
  );
  return {
    client,
    destroy: () => {
      destroyed = true;
      client.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

function watchedCredentials(onSocket: (socket: Socket) => void): ChannelCredentials {
  const plain = credentials.createInsecure();
  const create = plain._createSecureConnector.bind(plain);
  plain._createSecureConnector = (...args) => {
    const connector = create(...args);
    return {
      connect: (socket) => {
        onSocket(socket);
        return connector.connect(socket);
      },
      waitForReady: () => connector.waitForReady(),
      getCallCredentials: () => connector.getCallCredentials(),
      destroy: () => connector.destroy(),
    };
  };
  return plain;
}
