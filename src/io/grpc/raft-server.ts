import type { ServerDuplexStream, ServerReadableStream, sendUnaryData } from '@grpc/grpc-js';
import { Metadata } from '@grpc/grpc-js';
import type { ServerId } from '../../base/ids.ts';
import type { RaftAck, RaftEnvelope, SnapshotDone, SnapshotPart } from '../../gen/ringfs/v1/raft.ts';
import type { RaftServer } from '../../gen/ringfs/v1/service.ts';
import type { Logger } from '../../ports/logger.ts';
import type { RaftReceiver } from '../../ports/raft-transport.ts';

export function raftServiceHandlers(receiver: RaftReceiver, logger: Logger): RaftServer {
  return {
    messages: (call: ServerDuplexStream<RaftEnvelope, RaftAck>) => {
      call.sendMetadata(new Metadata());
      call.on('data', (envelope: RaftEnvelope) => {
        receiver.onMessages(envelope.messages, {
          id: envelope.from as ServerId,
          address: envelope.fromAddress,
          clusterId: envelope.clusterId,
        });
      });
      call.on('end', () => call.end());
      call.on('error', (error) => logger.debug({ err: error }, 'raft stream error'));
    },
    installSnapshot: (
      call: ServerReadableStream<SnapshotPart, SnapshotDone>,
      callback: sendUnaryData<SnapshotDone>,
    ) => {
      receiver.onSnapshot(call as AsyncIterable<SnapshotPart>).then(
        () => callback(null, { ok: true, message: '' }),
        (error: unknown) => {
          logger.warn({ err: error }, 'a snapshot was refused');
          callback(null, { ok: false, message: error instanceof Error ? error.message : String(error) });
        },
      );
    },
  };
}
