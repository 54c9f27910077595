/** Lines of JSON between a worker and who started it. */

/** What a worker says. `ms`: how long the operation took. */
export type WorkerEvent =
  | { readonly kind: 'done'; readonly what: string; readonly ms: number }
  /** The operation failed and may or may not have taken effect. */
  | { readonly kind: 'failed'; readonly what: string; readonly ms: number; readonly error: string }
  /** Something is there that must not be, or the other way round. */
  | { readonly kind: 'wrong'; readonly what: string; readonly detail: string }
  /** Was acknowledged: from now on it must be there. */
  | { readonly kind: 'acknowledged'; readonly key: string; readonly value: string }
  /** Will be removed soon, and need not be there any more. */
  | { readonly kind: 'forgotten'; readonly key: string }
  /** An operation on names is under way. If the worker dies with its machine, nobody knows whether it took effect. */
  | { readonly kind: 'begun'; readonly operation: NameOperation }
  | { readonly kind: 'history'; readonly operation: NameOperation };

/** One operation on names, with the moments of its call and return on the machine's monotonic clock, in nanoseconds. */
export interface NameOperation {
  readonly directory: string;
  readonly id: string;
  readonly call: number;
  readonly ret: number;
  readonly input: NameInput;
  /** Absent: the outcome is unknown. */
  readonly output?: NameOutput;
}

export type NameInput =
  | { readonly kind: 'create'; readonly name: string }
  | { readonly kind: 'unlink'; readonly name: string }
  | { readonly kind: 'rename'; readonly name: string; readonly to: string }
  | { readonly kind: 'lookup'; readonly name: string };

/** `error` EEXIST or ENOENT; otherwise, of create and lookup, the inode number. */
export interface NameOutput {
  readonly error?: string;
  readonly ino?: string;
}

/** What a worker is told: files that were acknowledged elsewhere, to read them. End of input: finish the operation and end. */
export interface ToRead {
  readonly path: string;
  /** Null: it will be removed, and need not be read any more. */
  readonly sha256: string | null;
}

/** All that must be there, for the worker that looks for it. */
export interface Acknowledged {
  /** Path and hash. */
  readonly files: readonly (readonly [path: string, sha256: string])[];
  readonly records: readonly string[];
  /** Hash and repository. */
  readonly commits: readonly (readonly [hash: string, repository: string])[];
  readonly transfers: readonly string[];
  readonly counted: number;
  /** Increments that failed and may have taken effect. */
  readonly maybeCounted: number;
}
