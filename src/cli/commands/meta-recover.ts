import { createLogger } from '../../io/log/pino-logger.ts';
import { forceSingleMember, type Survivor, surveySurvivor } from '../../meta/maintenance/force-single.ts';
import { CliError } from '../cli-error.ts';
import { openStoppedServer, withAdvice } from './meta-data.ts';

export interface RecoverFlags {
  readonly data: string;
  readonly forceNewCluster?: boolean;
  readonly json?: boolean;
}

/** Makes one surviving server the only member of its cluster, or says what that would mean. Throws CliError. */
export async function runMetaRecover(flags: RecoverFlags): Promise<void> {
  const { storage } = await openStoppedServer(flags.data);
  // What a start would say of a directory that it refuses is in the error.
  const logger = createLogger({ level: 'warn', format: 'auto' });
  const forced = flags.forceNewCluster === true;
  const survivor = await withAdvice(() =>
    forced ? forceSingleMember(storage, logger) : surveySurvivor(storage, logger),
  );
  if (flags.json === true) process.stdout.write(`${JSON.stringify({ ...survivor, forced }, null, 2)}\n`);
  else process.stdout.write(describe(survivor, forced));
  if (!forced)
    throw new CliError('nothing was changed', 'to go on, repeat the command with --force-new-cluster');
}

function describe(survivor: Survivor, forced: boolean): string {
  const { serverId, clusterId, applied, commit, last, term, confState, pendingConfChanges } = survivor;
  const others = [
    ...new Set([
      ...confState.voters,
      ...confState.votersOutgoing,
      ...confState.learners,
      ...confState.learnersNext,
    ]),
  ].filter((id) => id !== serverId);
  const lines = [
    `server ${serverId} of cluster ${clusterId}`,
    `  applied     ${applied.index} (term ${applied.term})`,
    `  committed   ${commit}, as far as it knows`,
    `  log ends at ${last.index} (term ${last.term}); its own term is ${term}`,
    'what can be lost: everything acknowledged after index ' +
      `${last.index} that only the other members have. If another member can still be read, compare`,
    'the end of its log (ringfs meta recover --data DIR, without more) and use the one with the higher term, then the higher index.',
    `what is kept: all of the log, also the ${last.index - commit} entries of which it is not known that they were committed.`,
  ];
  if (pendingConfChanges.length > 0) {
    lines.push(`changes of membership that will not take effect: entries ${pendingConfChanges.join(', ')}`);
  }
  const rest =
    others.length === 0 ? 'there are no other members' : `the other members are ${others.join(', ')}`;
  lines.push(
    forced
      ? `${serverId} is the only member now; ${rest}. Before it is started, move the folder meta of each of them away:`
      : `it would become the only member; ${rest}, whose folder meta must be moved away before it is started:`,
    'with their old data they would form the old cluster again beside this one. Then start them with --join, and add each:',
    '  ringfs cluster add ID=HOST:PORT --servers HOST:PORT',
  );
  return `${lines.join('\n')}\n`;
}
