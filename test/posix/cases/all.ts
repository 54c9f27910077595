import type { PosixCase } from '../posix-case.ts';
import { directoryCases } from './directories.ts';
import { fileCases } from './files.ts';
import { linkCases } from './links.ts';
import { lockCases } from './locks.ts';
import { metadataCases } from './metadata.ts';
import { permissionCases } from './permissions.ts';
import { renameCases } from './renames.ts';
import { specialCases } from './special.ts';

export const POSIX_CASES: readonly PosixCase[] = [
  ...fileCases,
  ...directoryCases,
  ...renameCases,
  ...linkCases,
  ...metadataCases,
  ...permissionCases,
  ...specialCases,
  ...lockCases,
];
