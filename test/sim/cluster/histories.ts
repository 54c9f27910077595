import type { FileInput, FileOutput } from '../../support/file-model.ts';
import { fileModel } from '../../support/file-model.ts';
import { checkLinearizable, type Operation, type SequentialModel } from '../../support/linearizability.ts';
import { type LockInput, type LockOutput, lockModel } from '../../support/lock-model.ts';
import { Violation } from '../harness/world.ts';
import type { SimWorld } from './world.ts';

type Input = FileInput | LockInput;
type Output = FileOutput | LockOutput;

interface Record extends Operation<Input, Output> {
  readonly part: string;
}

/** An operation under way. What is never ended counts as of unknown outcome. */
export interface OpenOperation {
  /** When it was called. */
  readonly call: number;
  end(output: Output, hint?: number): void;
  /** It may take effect later. */
  unknown(): void;
  /** It had no effect and saw nothing. */
  forget(): void;
}

/** What all clients did, in parts that have nothing to do with each other: groups of directories, and locks. */
export class Histories {
  readonly #world: SimWorld;
  readonly #done: Record[] = [];
  readonly #open = new Map<number, Record>();

  constructor(world: SimWorld) {
    this.#world = world;
  }

  begin(part: string, client: string, input: Input, call = this.#world.moment()): OpenOperation {
    const world = this.#world;
    const id = world.moment();
    const record = { part, client, input, call, output: undefined, ret: Number.POSITIVE_INFINITY };
    this.#open.set(id, record);
    return {
      call,
      end: (output, hint) => {
        this.#open.delete(id);
        const ret = world.moment();
        world.counts.operations += 1;
        world.trace(`${client} ${show(input)} = ${show(output)}${hint === undefined ? '' : ` at ${hint}`}`);
        this.#done.push({ ...record, output, ret, ...(hint === undefined ? {} : { hint }) });
      },
      unknown: () => {
        this.#open.delete(id);
        this.#done.push(record);
        world.counts.unknownOutcomes += 1;
        world.trace(`${client} ${show(input)} = ?`);
      },
      forget: () => void this.#open.delete(id),
    };
  }

  /** A caller met what none should. */
  broken(client: string, error: unknown): void {
    const why = error instanceof Error ? error.stack : String(error);
    this.#world.fail(new Violation('client', `${client}: ${why}`, { cause: error }));
  }

  /** Looks for an order of the operations of each part. */
  check(): void {
    const parts = new Map<string, Record[]>();
    for (const record of [...this.#done, ...this.#open.values()]) {
      const part = parts.get(record.part) ?? [];
      part.push(record);
      parts.set(record.part, part);
    }
    for (const [part, records] of parts) {
      if (part.startsWith('files')) {
        this.#checkPart(part, fileModel, records as Operation<FileInput, FileOutput>[]);
      } else {
        this.#checkPart(part, lockModel, records as Operation<LockInput, LockOutput>[]);
      }
    }
  }

  #checkPart<S, I, O>(
    part: string,
    model: SequentialModel<S, I, O>,
    operations: readonly Operation<I, O>[],
  ): void {
    const { verdict, steps, order, stuck } = checkLinearizable(model, operations);
    this.#world.trace(`${part}: ${operations.length} operations, ${verdict} in ${steps} steps`);
    if (verdict === 'unknown') this.#world.counts.undecided += 1;
    if (verdict !== 'violation') return;
    const line = ({ client, input, output, call, ret }: Operation<I, O>): string =>
      `[${call}, ${ret}] ${client} ${show(input)} = ${output === undefined ? '?' : show(output)}`;
    const message = [
      `no order explains ${part}. Up to here it could be:`,
      ...order.slice(-12).map(line),
      'and none of these can be next:',
      ...stuck.map(line),
    ];
    this.#world.fail(new Violation('linearizability', message.join('\n  ')));
  }
}

function show(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value);
  return Object.entries(value)
    .map(([name, field]) =>
      name === 'kind' || name === 'error' ? String(field) : `${name} ${String(field)}`,
    )
    .join(' ');
}
