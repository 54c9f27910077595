/** One thing that is wrong with the rows of a state: `check` names the rule, the rest where. */
export interface Finding {
  readonly check: string;
  readonly detail: string;
  readonly ino?: number;
  /** Of the entry. */
  readonly parent?: number;
  readonly name?: string;
  /** SHA-256 in hexadecimal. */
  readonly block?: string;
  readonly session?: number;
}

export type OnFinding = (finding: Finding) => void;
