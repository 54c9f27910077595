import { World } from '../harness/world.ts';
import { noCounts, type SimOptions } from './options.ts';

/** What all parts of a run over the metadata path share. */
export class SimWorld extends World {
  readonly options: SimOptions;
  readonly counts = noCounts();

  constructor(
    seed: number,
    options: SimOptions,
    more: { readonly only?: readonly string[]; readonly onTrace?: (line: string) => void } = {},
  ) {
    super(seed, more);
    this.options = options;
  }
}
