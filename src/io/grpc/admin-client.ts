import { ServerStatus, StatusRequest } from '../../gen/ringfs/v1/admin.ts';
import { AdminService } from '../../gen/ringfs/v1/service.ts';
import { deserializer, serializer } from './codec.ts';
import { openClient } from './open-client.ts';

/** Asks one server process for its status. Rejects when it does not answer within `timeoutMs`. */
export async function fetchServerStatus(address: string, timeoutMs: number): Promise<ServerStatus> {
  const { client, destroy } = openClient(address);
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
    destroy();
  }
}
