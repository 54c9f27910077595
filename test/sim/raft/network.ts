import type { Random } from '../../../src/base/random.ts';
import { RaftMessage } from '../../../src/gen/ringfs/v1/raft.ts';
import type { SimulationCounts } from './world.ts';

export interface NetworkWeather {
  readonly loss: number;
  readonly duplication: number;
  readonly delayMax: number;
  /** Share of messages that take up to a hundred times as long. */
  readonly straggling: number;
}

export interface NetworkEnvironment {
  readonly random: Random;
  readonly counts: Pick<SimulationCounts, 'messagesSent' | 'messagesLost' | 'messagesDuplicated'>;
  /** Messages pass through the wire format. */
  readonly encode: boolean;
  after(delay: number, action: () => void): void;
  deliver(message: RaftMessage): void;
}

/** Every message takes its own time, so they overtake each other; links may be cut in one direction. */
export class SimNetwork {
  readonly #env: NetworkEnvironment;
  #cut = new Set<string>();
  readonly #slow = new Map<string, number>();
  weather: NetworkWeather;

  constructor(env: NetworkEnvironment, weather: NetworkWeather) {
    this.#env = env;
    this.weather = weather;
  }

  cut(from: string, to: string): void {
    this.#cut.add(`${from}>${to}`);
  }

  heal(from?: string, to?: string): void {
    if (from === undefined) this.#cut.clear();
    else this.#cut.delete(`${from}>${to}`);
  }

  /** Messages on this way take so much longer; 0: as any other. */
  slow(from: string, to: string, delay: number): void {
    this.#slow.set(`${from}>${to}`, delay);
  }

  isCut(from: string, to: string): boolean {
    return this.#cut.has(`${from}>${to}`);
  }

  delay(): number {
    const { random } = this.#env;
    const delay = 1 + random.below(this.weather.delayMax);
    return random.next() < this.weather.straggling ? delay * (1 + random.below(100)) : delay;
  }

  send(message: RaftMessage): void {
    const { random, counts } = this.#env;
    counts.messagesSent += 1;
    if (this.isCut(message.from, message.to) || random.next() < this.weather.loss) {
      counts.messagesLost += 1;
      return;
    }
    this.#deliverLater(message);
    if (random.next() >= this.weather.duplication) return;
    counts.messagesDuplicated += 1;
    this.#deliverLater(message);
  }

  #deliverLater(message: RaftMessage): void {
    const { encode } = this.#env;
    const arriving = encode ? RaftMessage.decode(RaftMessage.encode(message).finish()) : message;
    const slowness = this.#slow.get(`${message.from}>${message.to}`) ?? 0;
    this.#env.after(this.delay() + slowness, () => {
      // A link that is cut loses what is under way.
      if (!this.isCut(message.from, message.to)) this.#env.deliver(arriving);
    });
  }
}
