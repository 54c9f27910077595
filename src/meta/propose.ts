import { Command } from '../gen/ringfs/v1/namespace.ts';
import type { Applied, Replica } from './replica.ts';

/** Proposes a command made here. Throws what Replica.propose throws. */
export function proposeCommand(replica: Replica, body: NonNullable<Command['body']>): Promise<Applied> {
  return replica.propose(Command.encode({ body }).finish());
}
