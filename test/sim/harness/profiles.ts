import { BLOCKS } from '../block/simulator.ts';
import { RING } from '../chord/simulator.ts';
import { METADATA } from '../cluster/simulator.ts';
import { FORMATION } from '../formation/simulator.ts';
import type { Options, Simulator } from './simulator.ts';

const SIMULATORS: readonly Simulator[] = [METADATA, RING, BLOCKS, FORMATION];

const PROFILE_NAMES: readonly string[] = SIMULATORS.flatMap(({ profiles }) => Object.keys(profiles));

export interface Profile {
  readonly name: string;
  readonly simulator: Simulator;
  readonly options: Options;
}

/** Throws RangeError with a message for a person. */
export function findProfile(name: string): Profile {
  for (const simulator of SIMULATORS) {
    if (!Object.hasOwn(simulator.profiles, name)) continue;
    return { name, simulator, options: { ...simulator.defaults, ...simulator.profiles[name] } };
  }
  throw new RangeError(`there is no profile ${name}; there are: ${PROFILE_NAMES.join(', ')}`);
}
