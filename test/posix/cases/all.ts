import type { PosixCase } from '../posix-case.ts';
import { descriptorCases } from './descriptors.ts';
import { directoryCases } from './directories.ts';
import { fileCases } from './files.ts';
import { linkCases } from './links.ts';
import { mappingCases } from './mapping.ts';
import { metadataCases } from './metadata.ts';
import { nodeCases } from './nodes.ts';
import { longPathCases, pathCases } from './paths.ts';
import { permissionCases } from './permissions.ts';
import { renameCases } from './renames.ts';
import { specialCases } from './special.ts';
import { timeCases } from './times.ts';
import { transferCases } from './transfer.ts';

export const POSIX_CASES: readonly PosixCase[] = [
  ...fileCases,
  ...transferCases,
  ...mappingCases,
  ...directoryCases,
  ...pathCases,
  ...renameCases,
  ...linkCases,
  ...metadataCases,
  ...timeCases,
  ...permissionCases,
  ...specialCases,
  ...nodeCases,
  ...descriptorCases,
];

/** Too long for every run: `node dist/test/posix/run-cases.js DIR --long`. */
export const LONG_CASES: readonly PosixCase[] = [...longPathCases];
