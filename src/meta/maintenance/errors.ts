/** An operator's command cannot be carried out. The message says why, `advice` what to do. */
export class MaintenanceError extends Error {
  override readonly name = 'MaintenanceError';
  readonly advice: string;

  constructor(message: string, advice: string, options?: ErrorOptions) {
    super(message, options);
    this.advice = advice;
  }
}

export function damagedDump(what: string, cause?: unknown): MaintenanceError {
  return new MaintenanceError(
    `the dump is damaged: ${what}`,
    'use another copy of the dump, or make a new one: ringfs meta dump',
    { cause },
  );
}
