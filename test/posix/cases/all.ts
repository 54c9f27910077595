import type { PosixCase } from '../posix-case.ts';
import { aclCases } from './acls.ts';
import { descriptorCases } from './descriptors.ts';
import { directoryCases } from './directories.ts';
import { fileCases } from './files.ts';
import { linkCases } from './links.ts';
import { lockCases } from './locks.ts';
import { mappingCases } from './mapping.ts';
import { metadataCases } from './metadata.ts';
import { nodeCases } from './nodes.ts';
import { longPathCases, pathCases } from './paths.ts';
import { permissionCases } from './permissions.ts';
import { rangeCases } from './ranges.ts';
import { refusalCases } from './refusals.ts';
import { renameCases } from './renames.ts';
import { setIdCases } from './set-id.ts';
import { specialCases } from './special.ts';
import { timeCases } from './times.ts';
import { transferCases } from './transfer.ts';
import { xattrCases } from './xattrs.ts';

/** The cases of one area. */
export interface PosixArea {
  readonly area: string;
  readonly cases: readonly PosixCase[];
}

export const POSIX_AREAS: readonly PosixArea[] = [
  { area: 'files, open flags, sizes beyond 4 GiB', cases: fileCases },
  { area: 'reading and writing, O_APPEND, O_DIRECT, O_SYNC', cases: transferCases },
  { area: 'memory maps', cases: mappingCases },
  { area: 'directories', cases: directoryCases },
  { area: 'names and paths', cases: pathCases },
  { area: 'renames', cases: renameCases },
  { area: 'refusals', cases: refusalCases },
  { area: 'holes, fallocate, copy_file_range', cases: rangeCases },
  { area: 'links and unlinked files', cases: linkCases },
  { area: 'attributes and statfs', cases: metadataCases },
  { area: 'times', cases: timeCases },
  { area: 'permissions and sticky directories', cases: permissionCases },
  { area: 'setuid and setgid', cases: setIdCases },
  { area: 'access lists', cases: aclCases },
  { area: 'extended attributes', cases: xattrCases },
  { area: 'special files', cases: specialCases },
  { area: 'locks', cases: lockCases },
  { area: 'inode numbers and modes', cases: nodeCases },
  { area: 'descriptors', cases: descriptorCases },
];

export const POSIX_CASES: readonly PosixCase[] = POSIX_AREAS.flatMap(({ cases }) => cases);

/** Too long for every run: `node dist/test/posix/run-cases.js DIR --long`. */
export const LONG_CASES: readonly PosixCase[] = [...longPathCases];
