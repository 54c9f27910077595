import { type Options, SingleBar } from 'cli-progress';

/** Redraws per second on a terminal, and between two lines elsewhere, in milliseconds. */
const FPS = 5;
const LINE_INTERVAL_MS = 2_000;

export interface ProgressBarOptions {
  /** Draws nothing. */
  readonly quiet: boolean;
  /** Without a terminal: a line now and then instead of nothing. */
  readonly lines: boolean;
}

/** How far a command is: a bar on standard error, which goes when it ends. */
export class ProgressBar {
  readonly #options: ProgressBarOptions;
  #bar: SingleBar | undefined;

  constructor(options: ProgressBarOptions) {
    this.#options = options;
  }

  /** `total` 0: not known yet. */
  show(done: number, total: number, what: string): void {
    if (this.#options.quiet) return;
    const terminal = process.stderr.isTTY;
    if (!terminal && !this.#options.lines) return;
    if (this.#bar === undefined) {
      const options: Options = {
        format: terminal ? '{bar} {percentage}%  {what}  {eta_formatted} left' : '{percentage}%  {what}',
        barsize: 30,
        fps: FPS,
        // Not a number before the first step.
        formatTime: (seconds) => (Number.isFinite(seconds) ? `${seconds} s` : '?'),
        stream: process.stderr,
        noTTYOutput: !terminal,
        notTTYSchedule: LINE_INTERVAL_MS,
        clearOnComplete: terminal,
        // Whoever interrupts the command gets the terminal back as it was.
        hideCursor: false,
        gracefulExit: false,
        linewrap: true,
        emptyOnZero: true,
      };
      this.#bar = new SingleBar(options);
      this.#bar.start(total, done, { what });
    }
    this.#bar.setTotal(total);
    this.#bar.update(done, { what });
  }

  end(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }
}
