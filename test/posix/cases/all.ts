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

export const POSIX_CASES: readonly PosixCase[] = [
  ...fileCases,
  ...transferCases,
  ...mappingCases,
  ...directoryCases,
  ...pathCases,
  ...renameCases,
  ...refusalCases,
  ...rangeCases,
  ...linkCases,
  ...metadataCases,
  ...timeCases,
  ...permissionCases,
  ...setIdCases,
  ...aclCases,
  ...xattrCases,
  ...specialCases,
  ...lockCases,
  ...nodeCases,
  ...descriptorCases,
];

/** Too long for every run: `node dist/test/posix/run-cases.js DIR --long`. */
export const LONG_CASES: readonly PosixCase[] = [...longPathCases];
