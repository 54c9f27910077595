import type { SequentialModel } from './linearizability.ts';

/** An inode number, or `?n` for what operation n made without its maker learning the number. */
type File = string;

export type FileInput =
  /** Makes a file that must not exist. `id` is different for every create. */
  | { readonly kind: 'create'; readonly path: string; readonly id: string }
  | { readonly kind: 'unlink'; readonly path: string }
  | { readonly kind: 'link'; readonly file: File; readonly path: string }
  | {
      readonly kind: 'rename';
      readonly from: string;
      readonly to: string;
      readonly mode: 'replace' | 'noreplace' | 'exchange';
    }
  /** Replaces the content. */
  | { readonly kind: 'write'; readonly file: File; readonly text: string }
  | { readonly kind: 'append'; readonly file: File; readonly text: string }
  | { readonly kind: 'lookup'; readonly path: string }
  | { readonly kind: 'list'; readonly directory: string }
  | { readonly kind: 'stat'; readonly file: File }
  | { readonly kind: 'read'; readonly file: File };

export type FileOutput =
  | { readonly ok: false; readonly error: string }
  | {
      readonly ok: true;
      /** create, link, rename, unlink, lookup. */
      readonly file?: File;
      /** append: where the text went. */
      readonly offset?: number;
      /** stat. */
      readonly links?: number;
      readonly size?: number;
      /** read. */
      readonly text?: string;
      /** list: names without the directory, in order. */
      readonly entries?: readonly (readonly [name: string, file: File])[];
    };

interface FileState {
  /** By `directory/name`. */
  readonly names: ReadonlyMap<string, File>;
  readonly texts: ReadonlyMap<File, string>;
  /** Files without a name that somebody found gone. */
  readonly gone: ReadonlySet<File>;
  key?: string;
}

type Step = (state: FileState) => { readonly state: FileState; readonly output: FileOutput } | undefined;

const failed = (error: string): FileOutput => ({ ok: false, error });

function linksOf(state: FileState, file: File): number {
  let links = 0;
  for (const target of state.names.values()) if (target === file) links++;
  return links;
}

const withNames = (state: FileState, change: (names: Map<string, File>) => void): FileState => {
  const names = new Map(state.names);
  change(names);
  return { names, texts: state.texts, gone: state.gone };
};

const withText = (state: FileState, file: File, text: string): FileState => ({
  names: state.names,
  texts: new Map(state.texts).set(file, text),
  gone: state.gone,
});

/** The file `?n` turns out to have this number. Undefined: it cannot, since that is another file. */
function learn(state: FileState, unknown: File, file: File): FileState | undefined {
  if (state.texts.has(file)) return undefined;
  const texts = new Map(state.texts);
  texts.set(file, texts.get(unknown) ?? '');
  texts.delete(unknown);
  const names = new Map([...state.names].map(([path, target]) => [path, target === unknown ? file : target]));
  return { names, texts, gone: state.gone };
}

/** The state in which the places have the files that an answer says, if that can be. */
function learnPlaces(state: FileState, places: readonly (readonly [string, File])[]): FileState | undefined {
  let now: FileState | undefined = state;
  for (const [path, file] of places) {
    const known = now.names.get(path);
    if (known === undefined) return undefined;
    if (known === file) continue;
    if (!known.startsWith('?')) return undefined;
    now = learn(now, known, file);
    if (now === undefined) return undefined;
  }
  return now;
}

const READS: ReadonlySet<string> = new Set(['lookup', 'list', 'stat', 'read']);

/** Files of some directories: names, links and content. An inode without a name may go away at any time. */
export const fileModel: SequentialModel<FileState, FileInput, FileOutput> = {
  initial: () => ({ names: new Map(), texts: new Map(), gone: new Set() }),

  step(state, input, output) {
    if (output === undefined) {
      const done = steps(input, undefined)(state);
      return done?.output.ok === true && done.state !== state ? done.state : undefined;
    }
    const learned = learnFrom(state, input, output);
    if (learned === undefined) return undefined;
    if (!output.ok && (output.error === 'ESTALE' || output.error === 'ENOENT')) {
      const after = staleStep(learned, input, output.error);
      if (after !== undefined) return after;
      if (output.error === 'ESTALE') return undefined;
    }
    const done = steps(input, output)(learned);
    return done !== undefined && sameOutput(done.output, output) ? done.state : undefined;
  },

  changesNothing: (input, output) => (output.ok ? READS.has(input.kind) : output.error !== 'ESTALE'),

  key(state) {
    state.key ??= [
      [...state.names].sort().join(),
      [...state.texts].sort().join(),
      [...state.gone].sort().join(),
    ].join('|');
    return state.key;
  },
};

/** Answers tell numbers of files that were made by operations without an answer. */
function learnFrom(state: FileState, input: FileInput, output: FileOutput): FileState | undefined {
  if (!output.ok) return state;
  switch (input.kind) {
    case 'lookup':
    case 'unlink':
      return output.file === undefined ? state : learnPlaces(state, [[input.path, output.file]]);
    case 'rename':
      return output.file === undefined ? state : learnPlaces(state, [[input.from, output.file]]);
    case 'list': {
      const entries = output.entries ?? [];
      return learnPlaces(
        state,
        entries.map(([name, file]) => [`${input.directory}/${name}`, file] as const),
      );
    }
    default:
      return state;
  }
}

/** ESTALE, and for link(2) ENOENT: the file has lost its last name. */
function staleStep(state: FileState, input: FileInput, error: string): FileState | undefined {
  if (!('file' in input)) return undefined;
  if (linksOf(state, input.file) > 0) return undefined;
  if (error === 'ENOENT') return input.kind === 'link' && !state.gone.has(input.file) ? state : undefined;
  if (state.gone.has(input.file)) return state;
  return { names: state.names, texts: state.texts, gone: new Set(state.gone).add(input.file) };
}

function steps(input: FileInput, output: FileOutput | undefined): Step {
  switch (input.kind) {
    case 'create':
      return (state) => {
        if (state.names.has(input.path)) return { state, output: failed('EEXIST') };
        const file = output?.ok === true && output.file !== undefined ? output.file : `?${input.id}`;
        // A number is never used again.
        if (state.texts.has(file)) return undefined;
        const named = withNames(state, (names) => names.set(input.path, file));
        return { state: withText(named, file, ''), output: { ok: true, file } };
      };
    case 'unlink':
      return (state) => {
        const file = state.names.get(input.path);
        if (file === undefined) return { state, output: failed('ENOENT') };
        return {
          state: withNames(state, (names) => names.delete(input.path)),
          output: { ok: true, file },
        };
      };
    case 'link':
      return (state) => {
        if (state.gone.has(input.file)) return undefined;
        if (state.names.has(input.path)) return { state, output: failed('EEXIST') };
        if (linksOf(state, input.file) === 0) return { state, output: failed('ENOENT') };
        const { path, file } = input;
        return { state: withNames(state, (names) => names.set(path, file)), output: { ok: true, file } };
      };
    case 'rename':
      return (state) => rename(state, input);
    case 'write':
    case 'append':
    case 'stat':
    case 'read':
      return (state) => content(state, input);
    case 'lookup':
      return (state) => {
        const file = state.names.get(input.path);
        return { state, output: file === undefined ? { ok: true } : { ok: true, file } };
      };
    default:
      return (state) => {
        const prefix = `${input.directory}/`;
        const entries = [...state.names]
          .filter(([path]) => path.startsWith(prefix))
          .map(([path, file]) => [path.slice(prefix.length), file] as const)
          .sort(([a], [b]) => (a < b ? -1 : 1));
        return { state, output: { ok: true, entries } };
      };
  }
}

function rename(
  state: FileState,
  { from, to, mode }: Extract<FileInput, { kind: 'rename' }>,
): ReturnType<Step> {
  const source = state.names.get(from);
  const target = state.names.get(to);
  if (source === undefined) return { state, output: failed('ENOENT') };
  if (target !== undefined && mode === 'noreplace') return { state, output: failed('EEXIST') };
  if (target === undefined && mode === 'exchange') return { state, output: failed('ENOENT') };
  const output = { ok: true, file: source } as const;
  if (target === source) return { state, output };
  const renamed = withNames(state, (names) => {
    names.delete(from);
    if (target !== undefined && mode === 'exchange') names.set(from, target);
    names.set(to, source);
  });
  return { state: renamed, output };
}

function content(
  state: FileState,
  input: Extract<FileInput, { kind: 'write' | 'append' | 'stat' | 'read' }>,
): ReturnType<Step> {
  const { file } = input;
  const text = state.texts.get(file);
  if (text === undefined) return undefined;
  // That an inode without a name goes away is told to nobody: a cache may still answer for it. It has no name again, and
  // nobody changes it any more.
  if (state.gone.has(file) && (input.kind === 'write' || input.kind === 'append')) return undefined;
  switch (input.kind) {
    case 'write':
      return { state: withText(state, file, input.text), output: { ok: true } };
    case 'append':
      return {
        state: withText(state, file, text + input.text),
        output: { ok: true, offset: text.length },
      };
    case 'read':
      return { state, output: { ok: true, text } };
    default:
      return { state, output: { ok: true, links: linksOf(state, file), size: text.length } };
  }
}

function sameOutput(expected: FileOutput, actual: FileOutput): boolean {
  if (!expected.ok || !actual.ok) return !expected.ok && !actual.ok && expected.error === actual.error;
  return (
    expected.file === actual.file &&
    expected.offset === actual.offset &&
    expected.links === actual.links &&
    expected.size === actual.size &&
    expected.text === actual.text &&
    String(expected.entries) === String(actual.entries)
  );
}
