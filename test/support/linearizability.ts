/** One call of a client, as the client saw it. */
export interface Operation<Input, Output> {
  readonly client: string;
  readonly input: Input;
  /** Undefined: never learned. The operation may take effect at any time after its call, or never. */
  readonly output: Output | undefined;
  /** Moments of call and return, comparable over all clients. The return of an unknown outcome is not looked at. */
  readonly call: number;
  readonly ret: number;
  /** Where the order is likely to have it, for example an index of a log. It makes the search fast, and nothing else. */
  readonly hint?: number;
}

/** A sequential object. States are immutable values. */
export interface SequentialModel<State, Input, Output> {
  initial(): State;
  /** The state after `input` was answered with `output`, or undefined if it could not have been. With an unknown output: the
   * state after whatever it does, or undefined if it does nothing. */
  step(state: State, input: Input, output: Output | undefined): State | undefined;
  /** No state is changed by `input` when it is answered with `output`. */
  changesNothing(input: Input, output: Output): boolean;
  /** Equal for equal states. */
  key(state: State): string;
}

export interface LinearizabilityVerdict<Input, Output> {
  /** `unknown`: given up after `stepsMax`. */
  readonly verdict: 'ok' | 'violation' | 'unknown';
  readonly steps: number;
  /** Of a violation: the operations of the longest order that was found, and those of which none could come next. */
  readonly order: readonly Operation<Input, Output>[];
  readonly stuck: readonly Operation<Input, Output>[];
}

export const LINEARIZABILITY_STEPS_MAX = 200_000;

interface Frame<State> {
  readonly state: State;
  /** Positions in `known` or, from `known.length` on, in `unknown`. */
  readonly candidates: readonly number[];
  next: number;
  /** What brought the search here and is taken back with it. */
  readonly taken: readonly number[];
}

/**
 * Whether one order of the operations, in which none comes before one that had returned before it was called, explains all answers: the search
 * of Wing and Gong (1993) with Lowe's memory of what was tried (2017). An operation that can come next and never changes
 * anything is taken at once, since whatever follows could follow after it as well. Exponential at worst, hence `stepsMax`.
 */
export function checkLinearizable<State, Input, Output>(
  model: SequentialModel<State, Input, Output>,
  operations: readonly Operation<Input, Output>[],
  stepsMax: number = LINEARIZABILITY_STEPS_MAX,
): LinearizabilityVerdict<Input, Output> {
  return new Search(model, operations, stepsMax).run();
}

class Search<State, Input, Output> {
  readonly #model: SequentialModel<State, Input, Output>;
  /** In order of call. */
  readonly #known: readonly Operation<Input, Output>[];
  readonly #unknown: readonly Operation<Input, Output>[];
  readonly #stepsMax: number;
  readonly #done: Uint8Array;
  readonly #tried = new Set<string>();
  readonly #stack: Frame<State>[] = [];
  /** First of `known` that is not done. */
  #first = 0;
  #left: number;
  #steps = 0;
  #best: number[] = [];
  #bestDepth = 0;

  constructor(
    model: SequentialModel<State, Input, Output>,
    operations: readonly Operation<Input, Output>[],
    stepsMax: number,
  ) {
    const byCall = [...operations].sort((a, b) => a.call - b.call);
    this.#model = model;
    this.#known = byCall.filter((op) => op.output !== undefined);
    this.#unknown = byCall.filter((op) => op.output === undefined);
    this.#stepsMax = stepsMax;
    this.#done = new Uint8Array(byCall.length);
    this.#left = this.#known.length;
  }

  run(): LinearizabilityVerdict<Input, Output> {
    this.#push(this.#model.initial(), []);
    while (this.#stack.length > 0) {
      if (this.#left === 0) return this.#verdict('ok');
      if (this.#steps > this.#stepsMax) return this.#verdict('unknown');
      const frame = this.#stack.at(-1)!;
      if (frame.next >= frame.candidates.length) {
        this.#stack.pop();
        for (const at of frame.taken) this.#untake(at);
        continue;
      }
      const at = frame.candidates[frame.next++]!;
      const state = this.#step(frame.state, at);
      if (state === undefined) continue;
      this.#take(at);
      const key = this.#key(state);
      if (this.#tried.has(key)) {
        this.#untake(at);
        continue;
      }
      this.#tried.add(key);
      this.#push(state, [at]);
    }
    return this.#verdict('violation');
  }

  #verdict(verdict: 'ok' | 'violation' | 'unknown'): LinearizabilityVerdict<Input, Output> {
    if (verdict !== 'violation') return { verdict, steps: this.#steps, order: [], stuck: [] };
    const done = new Set(this.#best);
    const left = this.#known.filter((_, at) => !done.has(at));
    const end = Math.min(...left.map((op) => op.ret));
    const stuck = left.filter((op) => op.call < end);
    return { verdict, steps: this.#steps, order: this.#best.map((at) => this.#at(at)), stuck };
  }

  /** Enters `state`, together with every operation that can be taken now and changes nothing. */
  #push(state: State, taken: readonly number[]): void {
    const all = [...taken];
    let candidates = this.#candidates();
    for (let changed = true; changed; ) {
      changed = false;
      for (const at of candidates) {
        const { input, output } = this.#at(at);
        if (output === undefined || !this.#model.changesNothing(input, output)) continue;
        // What teaches something about earlier unknown outcomes is a step of its own.
        if (this.#step(state, at) !== state) continue;
        this.#take(at);
        all.push(at);
        changed = true;
      }
      if (changed) candidates = this.#candidates();
    }
    this.#stack.push({ state, candidates, next: 0, taken: all });
    const depth = this.#known.length - this.#left;
    if (depth <= this.#bestDepth) return;
    this.#bestDepth = depth;
    this.#best = this.#stack.flatMap((frame) => frame.taken);
  }

  /** What may come next: called before the earliest return of what is left. The unlikely last. */
  #candidates(): number[] {
    let end = Number.POSITIVE_INFINITY;
    const found: number[] = [];
    for (let at = this.#first; at < this.#known.length; at++) {
      const op = this.#known[at]!;
      if (op.call >= end) break;
      if (this.#done[at] === 1) continue;
      found.push(at);
      end = Math.min(end, op.ret);
    }
    const open = found.filter((at) => this.#known[at]!.call < end);
    const rank = (at: number): number => this.#known[at]!.hint ?? Number.POSITIVE_INFINITY;
    open.sort((a, b) => {
      const [x, y] = [rank(a), rank(b)];
      return x === y ? this.#known[a]!.ret - this.#known[b]!.ret : x - y;
    });
    for (let at = 0; at < this.#unknown.length; at++) {
      const position = this.#known.length + at;
      if (this.#unknown[at]!.call >= end) break;
      if (this.#done[position] === 0) open.push(position);
    }
    return open;
  }

  #at(position: number): Operation<Input, Output> {
    return this.#known[position] ?? this.#unknown[position - this.#known.length]!;
  }

  #step(state: State, position: number): State | undefined {
    this.#steps += 1;
    const { input, output } = this.#at(position);
    return this.#model.step(state, input, output);
  }

  #take(position: number): void {
    this.#done[position] = 1;
    if (position >= this.#known.length) return;
    this.#left -= 1;
    while (this.#done[this.#first] === 1 && this.#first < this.#known.length) this.#first += 1;
  }

  #untake(position: number): void {
    this.#done[position] = 0;
    if (position >= this.#known.length) return;
    this.#left += 1;
    this.#first = Math.min(this.#first, position);
  }

  #key(state: State): string {
    let done = '';
    // Everything before `first` is done.
    for (let at = this.#first; at < this.#done.length; at += 16) {
      let word = 0;
      for (let bit = 0; bit < 16; bit++) word |= (this.#done[at + bit] ?? 0) << bit;
      done += String.fromCharCode(word);
    }
    return `${this.#first}/${done}/${this.#model.key(state)}`;
  }
}

/** The parts of a history that have nothing to do with each other, so that each is searched for itself. */
export function partition<Input, Output>(
  operations: readonly Operation<Input, Output>[],
  keyOf: (input: Input) => string,
): Map<string, Operation<Input, Output>[]> {
  const parts = new Map<string, Operation<Input, Output>[]>();
  for (const op of operations) {
    const key = keyOf(op.input);
    const part = parts.get(key);
    if (part === undefined) parts.set(key, [op]);
    else part.push(op);
  }
  return parts;
}
