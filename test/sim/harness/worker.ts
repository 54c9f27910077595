import { findProfile } from './profiles.ts';
import type { Counts, Options } from './simulator.ts';

/** One run, as the command line asks for it. */
export interface SimTask {
  readonly seed: number;
  readonly profile: string;
  readonly options: Options;
}

export interface SimReport {
  readonly seed: number;
  readonly digest: string;
  /** Undefined: nothing was found. */
  readonly check: string | undefined;
  readonly message: string;
  readonly counts: Counts;
}

/** A promise of the product that nobody waits for must not fail. */
let unhandled: string | undefined;
process.on('unhandledRejection', (error) => {
  unhandled ??= error instanceof Error ? (error.stack ?? error.message) : String(error);
});

async function run({ seed, profile, options }: SimTask): Promise<SimReport> {
  unhandled = undefined;
  const { violation, counts, digest } = await findProfile(profile).simulator.run(seed, options, {});
  const found =
    violation ?? (unhandled === undefined ? undefined : { check: 'unhandled-rejection', message: unhandled });
  return { seed, digest, check: found?.check, message: found?.message ?? '', counts };
}

// Ctrl-C reaches the whole group: the run is ended well, and this process when its parent lets go of it.
process.on('SIGINT', () => {});
process.on('disconnect', () => process.exit());
process.on('message', (task: SimTask) => {
  run(task).then(
    (report) => process.send?.(report),
    (error: unknown) => {
      throw error;
    },
  );
});
