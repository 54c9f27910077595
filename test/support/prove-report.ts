/** Reads what `prove --verbose` prints into its pipe: for each file a heading, its TAP, a verdict; in the end a summary. */

export interface FileReport {
  readonly path: string;
  /** Checks that the file announced; undefined if it did not get that far. */
  planned: number | undefined;
  ran: number;
  /** Checks that failed, as the file printed them. */
  readonly failures: string[];
  /** Checks that failed and are marked as TODO: the suite says that this system does not have them. */
  readonly todos: string[];
}

export interface ProveReport {
  readonly files: readonly FileReport[];
  /** What prove objects to beside failed checks, by path: exit status, a plan not kept. */
  readonly complaints: ReadonlyMap<string, readonly string[]>;
}

const HEADING = /^(\S.*?) \.{2,}(?: |$)/;
const PLAN = /^1\.\.(\d+)/;
const CHECK = /^(not )?ok \d+(.*)$/;
const TODO = /# *TODO\b/i;
const SUMMARY = 'Test Summary Report';
const SUMMARY_FILE = /^(\S.*?) +\(Wstat: /;
const SUMMARY_DETAIL = /^ {2}(\S[^:]*): +(.*)$/;
/** Details of the summary that the checks themselves have told already. */
const KNOWN_DETAILS = new Set(['Failed test', 'Failed tests', 'TODO passed']);

export class ProveReader {
  readonly #files: FileReport[] = [];
  readonly #complaints = new Map<string, string[]>();
  #inSummary = false;
  #summaryPath: string | undefined;
  /** Where a detail's further lines belong to; undefined for details that are not collected. */
  #detail: string[] | undefined;

  /** Takes a line without its end. Returns the file that begins with it, if one does. */
  line(text: string): FileReport | undefined {
    if (text === SUMMARY) this.#inSummary = true;
    if (this.#inSummary) {
      this.#summaryLine(text);
      return undefined;
    }
    const path = HEADING.exec(text)?.[1];
    if (path !== undefined) {
      const file: FileReport = { path, planned: undefined, ran: 0, failures: [], todos: [] };
      this.#files.push(file);
      return file;
    }
    const file = this.#files.at(-1);
    if (file !== undefined) readTap(file, text);
    return undefined;
  }

  end(): ProveReport {
    return { files: this.#files, complaints: this.#complaints };
  }

  #summaryLine(text: string): void {
    const path = SUMMARY_FILE.exec(text)?.[1];
    if (path !== undefined) {
      this.#summaryPath = path;
      this.#detail = undefined;
      return;
    }
    if (this.#summaryPath === undefined) return;
    if (!text.startsWith('  ')) {
      this.#summaryPath = undefined; // the line of totals
      return;
    }
    const detail = SUMMARY_DETAIL.exec(text);
    if (detail === null) {
      this.#detail?.push(text.trim());
    } else if (KNOWN_DETAILS.has(detail[1] ?? '')) {
      this.#detail = undefined;
    } else {
      this.#detail = this.#complaints.get(this.#summaryPath) ?? [];
      this.#complaints.set(this.#summaryPath, this.#detail);
      this.#detail.push(text.trim());
    }
  }
}

function readTap(file: FileReport, text: string): void {
  const plan = PLAN.exec(text);
  if (plan !== null) file.planned = Number(plan[1]);
  const check = CHECK.exec(text);
  if (check === null) return;
  file.ran++;
  if (check[1] === undefined) return;
  (TODO.test(text) ? file.todos : file.failures).push(text);
}

/** Failed checks of a file, with those that it announced and did not run. A file without a plan has failed once. */
export function failedChecks({ planned, ran, failures }: FileReport): number {
  return failures.length + (planned === undefined ? 1 : Math.max(0, planned - ran));
}
