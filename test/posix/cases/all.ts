import type { PosixCase } from '../posix-case.ts';
import { aclCases } from './acls.ts';
import { directoryCases } from './directories.ts';
import { fileCases } from './files.ts';
import { linkCases } from './links.ts';
import { lockCases } from './locks.ts';
import { metadataCases } from './metadata.ts';
import { permissionCases } from './permissions.ts';
import { refusalCases } from './refusals.ts';
import { rangeCases } from './ranges.ts';
import { renameCases } from './renames.ts';
import { setIdCases } from './set-id.ts';
import { specialCases } from './special.ts';
import { xattrCases } from './xattrs.ts';

export const POSIX_CASES: readonly PosixCase[] = [
  ...fileCases,
  ...directoryCases,
  ...renameCases,
  ...refusalCases,
  ...rangeCases,
  ...linkCases,
  ...metadataCases,
  ...permissionCases,
  ...setIdCases,
  ...aclCases,
  ...xattrCases,
  ...specialCases,
  ...lockCases,
];
