import { EMPTY_BYTES } from '../../base/bytes.ts';
import type { ReadableVersions } from '../../base/format-version.ts';
import { ROOT_INO } from '../../base/ids.ts';
import type { InitCluster, Time } from '../../gen/ringfs/v1/namespace.ts';
import { S_IFDIR } from './context.ts';
import { takeIno } from './counters.ts';
import { CLUSTER_KEY, inodeKey } from './keys.ts';
import { done, refused } from './outcome.ts';
import { ATTR, CLUSTER } from './rows.ts';
import type { ApplyOutcome, Rows } from './types.ts';

/** The version of the rows that this code reads and writes (FORMAT.md). */
export const FORMAT_VERSION = 1;
export const NAMESPACE_VERSIONS: ReadableVersions = { oldest: 1, newest: FORMAT_VERSION };

const EPOCH: Time = { sec: 0, nsec: 0 };

/** A cluster that has its identity keeps it. */
export function initCluster(rows: Rows, index: number, command: InitCluster): ApplyOutcome {
  if (rows.read(CLUSTER_KEY, CLUSTER) !== undefined) return done(index, 0, true);
  if (command.formatVersion !== FORMAT_VERSION) return refused(index, 'EINVAL', 'unknown format version');
  if (command.clusterId === '' || command.replicas === 0) return refused(index, 'EINVAL', 'incomplete');
  const time = command.time ?? EPOCH;
  const { clusterId, replicas, formatVersion } = command;
  const ino = takeIno(rows, index);
  rows.write(CLUSTER_KEY, CLUSTER, { clusterId, replicas, formatVersion, time, version: index });
  const { sec, nsec } = time;
  rows.write(inodeKey(ino), ATTR, {
    ino,
    mode: S_IFDIR | 0o755,
    nlink: 2,
    uid: 0,
    gid: 0,
    rdev: 0,
    size: 0,
    allocatedBytes: 0,
    atimeSec: sec,
    atimeNsec: nsec,
    mtimeSec: sec,
    mtimeNsec: nsec,
    ctimeSec: sec,
    ctimeNsec: nsec,
    btimeSec: sec,
    btimeNsec: nsec,
    version: index,
    dataVersion: index,
    parent: ROOT_INO,
    symlinkTarget: EMPTY_BYTES,
    hasXattrs: false,
    hasAccessAcl: false,
    hasDefaultAcl: false,
  });
  return done(index);
}
