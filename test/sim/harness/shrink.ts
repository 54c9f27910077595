import type { Options, Simulator } from './simulator.ts';

/**
 * Options that are smaller and still fail: without each kind of fault that is not needed, then for a shorter time and with less to do.
 * Greedy, so that it takes about forty runs.
 */
export async function shrink<O extends Options>(
  { faults, sizes }: Pick<Simulator, 'faults' | 'sizes'>,
  options: O,
  fails: (options: O) => Promise<boolean>,
): Promise<O> {
  let smallest = options;
  const attempt = async (name: string, value: number): Promise<boolean> => {
    if ((smallest[name] ?? 0) <= value) return false;
    const smaller: O = { ...smallest, [name]: value };
    if (!(await fails(smaller))) return false;
    smallest = smaller;
    return true;
  };
  for (const name of faults) await attempt(name, 0);
  for (const [name, values] of sizes) {
    for (const value of values) if (await attempt(name, value)) break;
  }
  return smallest;
}
