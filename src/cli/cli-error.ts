/** A failure that the user can mend: printed as one line with what to do, without a stack. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly hint: string | undefined;
  /** 1: the command failed; 2: it was called wrongly. `ringfs fsck` has more. */
  readonly exitCode: number;

  constructor(message: string, hint?: string, exitCode = 1) {
    super(message);
    this.hint = hint;
    this.exitCode = exitCode;
  }
}

export function usageError(message: string, hint?: string): CliError {
  return new CliError(message, hint, 2);
}
