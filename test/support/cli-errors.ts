import assert from 'node:assert/strict';
import { CliError } from '../../src/cli/cli-error.ts';

/** For assert.throws: a CliError with this exit code, and text in its message or hint. */
export const cliError =
  (pattern: RegExp, exitCode: 1 | 2 = 1) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof CliError, String(error));
    assert.match(`${error.message}\n${error.hint ?? ''}`, pattern);
    assert.equal(error.exitCode, exitCode);
    return true;
  };
