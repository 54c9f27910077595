import type { BlockReply, BlockRequest } from '../../src/gen/ringfs/v1/block.ts';
import { blockConnector } from '../../src/io/grpc/connectors.ts';
import { GrpcServer } from '../../src/io/grpc/server.ts';
import { MemoryNetwork } from '../support/memory-rpc.ts';
import { RecordingLogger } from '../support/recording-logger.ts';
import { systemTimers } from '../support/system-timers.ts';
import { rpcContract } from './rpc-suite.ts';

rpcContract('memory', () => {
  const network = new MemoryNetwork<BlockRequest, BlockReply>({ timers: systemTimers() });
  let servers = 0;
  return Promise.resolve({
    connector: network.connector('client'),
    listen: (acceptor) => {
      const address = `server-${servers++}`;
      network.listen(address, acceptor);
      return Promise.resolve(address);
    },
    kill: (address) => network.kill(address),
    close: () => {
      for (let i = 0; i < servers; i++) network.kill(`server-${i}`);
    },
  });
});

rpcContract('gRPC', () => {
  const servers = new Map<string, GrpcServer>();
  return Promise.resolve({
    connector: blockConnector(),
    listen: async (acceptor) => {
      const server = new GrpcServer({ logger: new RecordingLogger() });
      server.addBlock(acceptor);
      const address = `127.0.0.1:${await server.listen('127.0.0.1:0')}`;
      servers.set(address, server);
      return address;
    },
    kill: (address) => servers.get(address)?.close(),
    close: () => {
      for (const server of servers.values()) server.close();
    },
  });
});
