import { GatewayError } from './errors.ts';

/** So many of something at one time; more are refused, not queued: the client knows better whether to wait. */
export class Slots {
  readonly #max: number;
  readonly #what: string;
  #used = 0;

  constructor(max: number, what: string) {
    this.#max = max;
    this.#what = what;
  }

  get used(): number {
    return this.#used;
  }

  /** Throws BUSY. Returns what gives the slot back, once however often it is called. */
  take(): () => void {
    if (this.#used >= this.#max)
      throw new GatewayError('BUSY', `there are ${this.#max} ${this.#what} already`, { 'retry-after': '1' });
    this.#used++;
    let taken = true;
    return () => {
      if (taken) this.#used--;
      taken = false;
    };
  }
}
