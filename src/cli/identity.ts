import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import type { ReadableVersions } from '../base/format-version.ts';
import { CliError } from './cli-error.ts';
import { refuseVersion } from './versions.ts';

/** What a server's data directory says of itself, so that it is never used by another server or cluster. */

const FORMAT = 1;
const VERSIONS: ReadableVersions = { oldest: 1, newest: FORMAT };
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

/** What servers make in their data directories. */
const CONTENTS = ['meta', 'block'];

/** Claims a directory without a server's data, or checks that it is this server's. Throws CliError. */
export function claimDataDirectory(dir: string, identity: Identity): void {
  const file = path.join(dir, FILE);
  mkdirSync(dir, { recursive: true });
  if (!existsSync(file)) {
    if (CONTENTS.some((name) => existsSync(path.join(dir, name)))) {
      throw new CliError(
        `${dir} holds a server's data, but ${file}, which says whose, is missing`,
        'restore it from a backup; only a new server starts with another --data directory',
      );
    }
    claim(dir, file, identity);
    return;
  }
  const found = read(file);
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

/** Durable before anything else is written, so that data never lies there unclaimed. */
function claim(dir: string, file: string, identity: Identity): void {
  writeFileSync(`${file}.tmp`, `${JSON.stringify({ format: FORMAT, ...identity }, null, 2)}\n`, {
    flush: true,
  });
  renameSync(`${file}.tmp`, file);
  const fd = openSync(dir, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function read(file: string): z.infer<typeof schema> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new CliError(`cannot read ${file}: ${(error as Error).message}`, 'check its owner and permissions');
  }
  let found: z.infer<typeof schema>;
  try {
    const raw: unknown = JSON.parse(text);
    refuseVersion(file, raw, VERSIONS);
    found = schema.parse(raw);
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw new CliError(
      `${file} is damaged: ${(error as Error).message}`,
      'restore it from a backup; do not start this server with an empty --data directory, since it would have forgotten its votes',
    );
  }
  return found;
}
