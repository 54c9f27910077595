import { ERRNO, type ErrnoName } from '../../base/errno.ts';
import type { CommitResult } from '../../gen/ringfs/v1/namespace.ts';
import type { ApplyOutcome } from './types.ts';

export function rejectedResult(index: number, code: ErrnoName, detail: string, opIndex = 0): CommitResult {
  const value = { errno: ERRNO[code], opIndex, detail, current: [] };
  return { index, body: { $case: 'rejected', value } };
}

/** The outcome of a command that is not a client's commit. */
export function done(index: number, value = 0, duplicate = false): ApplyOutcome {
  return {
    result: { index, body: { $case: 'ok', value: { results: [], touched: [] } } },
    value,
    session: 0,
    duplicate,
  };
}

export function refused(index: number, code: ErrnoName, detail: string): ApplyOutcome {
  return { result: rejectedResult(index, code, detail), value: 0, session: 0, duplicate: false };
}
