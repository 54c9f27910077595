import { Client, credentials } from '@grpc/grpc-js';
import { ServerStatus, StatusRequest } from '../../gen/ringfs/v1/admin.ts';
import { AdminService } from '../../gen/ringfs/v1/service.ts';
import { CLIENT_OPTIONS } from './channel-options.ts';
import { deserializer, serializer } from './codec.ts';

/** Asks one server process for its status. Rejects when it does not answer within `timeoutMs`. */
export async function fetchServerStatus(address: string, timeoutMs: number): Promise<ServerStatus> {
  const client = new Client(address, credentials.createInsecure(), CLIENT_OPTIONS);
  try {
    return await new Promise<ServerStatus>((resolve, reject) => {
      client.makeUnaryRequest(
        AdminService.status.path,
        serializer(StatusRequest),
        deserializer(ServerStatus),
        {},
        { deadline: Date.now() + timeoutMs },
        (error, reply) => {
          if (error !== null) reject(new Error(`${address}: ${error.details}`));
          else if (reply === undefined) reject(new Error(`${address}: empty answer`));
          else resolve(reply);
        },
      );
    });
  } finally {
    client.close();
  }
}
