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
import { toHex } from '../../base/bytes.ts';
import type { ReadableVersions } from '../../base/format-version.ts';
import type { Founders } from '../../core/formation/decide.ts';
import { systemRandom } from '../../io/os/system-random.ts';
import { crc32 } from '../../meta/raft/log-codec.ts';
import { CliError } from '../cli-error.ts';
import { refuseVersion } from '../versions.ts';

/** What a server's data directory says of itself, so that it is never used by another server or cluster. */

const FORMAT = 2;
const VERSIONS: ReadableVersions = { oldest: 1, newest: FORMAT };
const FILE = 'ringfs.json';
const INSTANCE_BYTES = 16;
/** What servers make in their data directories. */
const CONTENTS = ['meta', 'block'];

export interface Identity {
  readonly clusterId: string;
  readonly serverId: string;
}

export interface StoredIdentity extends Identity {
  /** Of this life of the directory; undefined when a version wrote it that did not know of instances. */
  readonly instanceId: string | undefined;
  /** Recorded before this server takes part in Raft for the first time: with whom its cluster began, as far as it knows. Undefined while
   * it has not, or when a version before wrote it. */
  readonly founders: Founders | undefined;
}

const identity = { clusterId: z.string(), serverId: z.string() };
const first = z.object({ format: z.literal(1), ...identity });
const second = z.strictObject({
  format: z.literal(2),
  ...identity,
  instanceId: z.string().min(1),
  founders: z.record(z.string(), z.string()).optional(),
  checksum: z.string(),
});
const schema = z.union([first, second]);

/** What `dir` says that it belongs to; undefined when it is not claimed yet. Throws CliError. */
export function storedIdentity(dir: string): StoredIdentity | undefined {
  const file = path.join(dir, FILE);
  return existsSync(file) ? read(file) : undefined;
}

export function holdsMetadata(data: string): boolean {
  return existsSync(path.join(data, 'meta', 'log'));
}

/** It has taken part in Raft, and what it must remember of that is there. */
export function hasMemory(dir: string, found: StoredIdentity | undefined): boolean {
  if (found === undefined || !holdsMetadata(dir)) return false;
  return found.founders !== undefined || found.instanceId === undefined;
}

/** Nothing but a name has ever been in `dir`: it may get another. */
export function isUnused(dir: string, found: StoredIdentity): boolean {
  const { instanceId, founders } = found;
  return instanceId !== undefined && founders === undefined && !holdsMetadata(dir) && !holds(dir, 'block');
}

const holds = (dir: string, name: string): boolean => existsSync(path.join(dir, name));

/** Claims a directory without a server's data, or checks that it is this server's. Throws CliError. */
export function claimDataDirectory(dir: string, { clusterId, serverId }: Identity): StoredIdentity {
  const file = path.join(dir, FILE);
  mkdirSync(dir, { recursive: true });
  if (!existsSync(file)) {
    if (CONTENTS.some((name) => holds(dir, name))) {
      throw new CliError(
        `${dir} holds a server's data, but ${file}, which says whose, is missing`,
        'restore it from a backup; only a new server starts with another --data directory',
      );
    }
    return beginLife(dir, { clusterId, serverId });
  }
  const found = read(file);
  if (found.clusterId === clusterId && found.serverId === serverId) return found;
  if (isUnused(dir, found)) return beginLife(dir, { clusterId, serverId });
  if (found.clusterId !== clusterId) {
    throw new CliError(
      `${dir} belongs to the cluster '${found.clusterId}', not to '${clusterId}'`,
      'use that cluster with --cluster-id, or another --data directory',
    );
  }
  throw new CliError(
    `${dir} belongs to the server '${found.serverId}', not to '${serverId}'`,
    'use another --data directory',
  );
}

/** The directory has no metadata, and is not known to any cluster under what it is called from now on. */
export function beginLife(dir: string, { clusterId, serverId }: Identity): StoredIdentity {
  const claimed = { clusterId, serverId, instanceId: newInstanceId(), founders: undefined };
  store(dir, claimed);
  return claimed;
}

/** From now on the directory must not be used without its metadata. */
export function recordFounders(dir: string, claimed: StoredIdentity, founders: Founders): StoredIdentity {
  const recorded = { ...claimed, instanceId: claimed.instanceId ?? newInstanceId(), founders };
  store(dir, recorded);
  return recorded;
}

const newInstanceId = (): string => toHex(systemRandom.bytes(INSTANCE_BYTES));

/** Durable before anything else is written, so that data never lies there unclaimed. */
function store(dir: string, { clusterId, serverId, instanceId, founders }: StoredIdentity): void {
  const file = path.join(dir, FILE);
  const content = { format: FORMAT, clusterId, serverId, instanceId, ...(founders && { founders }) };
  const sealed = { ...content, checksum: checksumOf(content) };
  writeFileSync(`${file}.tmp`, `${JSON.stringify(sealed, null, 2)}\n`, { flush: true });
  renameSync(`${file}.tmp`, file);
  const fd = openSync(dir, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** A damaged instance would be taken for another one. */
function checksumOf(content: object): string {
  const text = new TextEncoder().encode(JSON.stringify(content));
  return crc32(new Uint8Array(0), text).toString(16).padStart(8, '0');
}

function read(file: string): StoredIdentity {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new CliError(`cannot read ${file}: ${(error as Error).message}`, 'check its owner and permissions');
  }
  try {
    const raw: unknown = JSON.parse(text);
    refuseVersion(file, raw, VERSIONS);
    const found = schema.parse(raw);
    const { clusterId, serverId } = found;
    if (found.format === 1) return { clusterId, serverId, instanceId: undefined, founders: undefined };
    const { checksum, ...content } = found;
    if (checksum !== checksumOf(content)) throw new Error('its checksum is wrong');
    return { clusterId, serverId, instanceId: found.instanceId, founders: found.founders };
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw new CliError(
      `${file} is damaged: ${(error as Error).message}`,
      'restore it from a backup; do not start this server with an empty --data directory, since it would have forgotten its votes',
    );
  }
}
