/** What a run can be told. Rates are per simulated second, for all servers together. */
export const DEFAULTS = {
  /** Simulated seconds of trouble; afterwards everybody stays up. */
  seconds: 15,
  /** Of --peers. */
  servers: 3,
  /** The servers are started for the first time within so many seconds. */
  startSeconds: 4,
  /** A server that ended or was refused is started again after up to this. */
  restartMs: 1_500,
  /** From the decision to the record on the disk, up to this. */
  openMs: 400,

  delayMs: 15,
  /** Questions and answers that get lost, each. */
  loss: 0.03,
  /** One server does not hear another, for up to 3 s. */
  cuts: 0.2,
  crashes: 0.5,
  /** A server dies, and starts again with an empty disk. */
  wipes: 0.25,
};

export type FormationOptions = Readonly<typeof DEFAULTS>;

export const FAULTS = [
  'loss',
  'cuts',
  'crashes',
  'wipes',
] as const satisfies readonly (keyof FormationOptions)[];

export const PROFILES: Readonly<Record<string, Partial<FormationOptions>>> = { formation: {} };

export function noCounts() {
  return {
    crashes: 0,
    wipes: 0,
    formed: 0,
    followed: 0,
    refused: 0,
    waited: 0,
    questions: 0,
    simulatedMs: 0,
  };
}
