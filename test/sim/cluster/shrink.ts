import { FAULTS, type OptionName, type SimOptions } from './options.ts';

/** Sizes to try, smallest first. */
const SIZES: readonly (readonly [OptionName, readonly number[]])[] = [
  ['seconds', [1, 2, 3, 4, 6, 8]],
  ['clients', [1, 2]],
  ['fibers', [1]],
  ['groups', [1]],
  ['names', [1, 2]],
  ['locking', [0]],
];

/**
 * Options that are smaller and still fail: without each kind of fault that is not needed, then for a shorter time and with less to do. Greedy, so
 * that it takes about forty runs.
 */
export async function shrink(
  options: SimOptions,
  fails: (options: SimOptions) => Promise<boolean>,
): Promise<SimOptions> {
  let smallest = options;
  const attempt = async (name: OptionName, value: number): Promise<boolean> => {
    if (smallest[name] <= value) return false;
    const smaller = { ...smallest, [name]: value };
    if (!(await fails(smaller))) return false;
    smallest = smaller;
    return true;
  };
  for (const name of FAULTS) await attempt(name, 0);
  for (const [name, values] of SIZES) {
    for (const value of values) if (await attempt(name, value)) break;
  }
  return smallest;
}
