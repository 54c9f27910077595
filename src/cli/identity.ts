import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { CliError } from './cli-error.ts';

/** What a server's data directory says of itself, so that it is never used by another server or cluster. */

const FORMAT = 1;
const FILE = 'ringfs.json';
const schema = z.object({ format: z.number(), clusterId: z.string(), serverId: z.string() });

export interface Identity {
  readonly clusterId: string;
  readonly serverId: string;
}

/** What `dir` says that it belongs to; undefined when it is not claimed yet. Throws CliError. */
export function storedIdentity(dir: string): Identity | undefined {
  const file = path.join(dir, FILE);
  return existsSync(file) ? read(file) : undefined;
}

/** Claims an empty directory, or checks that it is this server's. Throws CliError. */
export function claimDataDirectory(dir: string, identity: Identity): void {
  const file = path.join(dir, FILE);
  mkdirSync(dir, { recursive: true });
  if (!existsSync(file)) {
    writeFileSync(`${file}.tmp`, `${JSON.stringify({ format: FORMAT, ...identity }, null, 2)}\n`, {
      flush: true,
    });
    renameSync(`${file}.tmp`, file);
    return;
  }
  const found = read(file);
  if (found.format !== FORMAT) {
    const advice =
      found.format > FORMAT
        ? 'use the newer RingFS that wrote it'
        : 'upgrade it with the RingFS version in between';
    throw new CliError(
      `${dir} has format version ${found.format}; this RingFS knows version ${FORMAT}`,
      advice,
    );
  }
  if (found.clusterId !== identity.clusterId) {
    throw new CliError(
      `${dir} belongs to the cluster '${found.clusterId}', not to '${identity.clusterId}'`,
      'use that cluster with --cluster-id, or another --data directory',
    );
  }
  if (found.serverId !== identity.serverId) {
    throw new CliError(
      `${dir} belongs to the server '${found.serverId}', not to '${identity.serverId}'`,
      'use another --data directory',
    );
  }
}

function read(file: string): z.infer<typeof schema> {
  try {
    return schema.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch (error) {
    throw new CliError(
      `${file} is damaged: ${(error as Error).message}`,
      'restore it from a backup; do not start this server with an empty --data directory, since it would have forgotten its votes',
    );
  }
}
