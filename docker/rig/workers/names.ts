import { mkdir, open, rename, stat, unlink } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { emit, type Inbox } from './emit.ts';
import type { NameInput, NameOutput } from './protocol.ts';

const NAMES = ['a', 'b', 'c', 'd'] as const;
/** A directory gets this long: the search for an order is exponential in what overlaps. */
const EPOCH_MS = 2_000;
const PAUSE_MS = 15;
/** Answers that the model knows. Anything else leaves it open whether the operation took effect. */
const EXPECTED = new Set(['EEXIST', 'ENOENT']);

const nowNs = (): number => Number(process.hrtime.bigint());
const some = <T>(of: readonly T[]): T => of[Math.floor(Math.random() * of.length)]!;

function randomInput(): NameInput {
  const name = some(NAMES);
  const kind = some(['create', 'create', 'unlink', 'rename', 'lookup', 'lookup'] as const);
  return kind === 'rename' ? { kind, name, to: some(NAMES) } : { kind, name };
}

function isThere(directory: string): Promise<boolean> {
  return stat(directory).then(
    () => true,
    () => false,
  );
}

async function perform(directory: string, input: NameInput): Promise<NameOutput> {
  const at = path.join(directory, input.name);
  switch (input.kind) {
    case 'create': {
      const handle = await open(at, 'wx');
      try {
        return { ino: String((await handle.stat()).ino) };
      } finally {
        await handle.close();
      }
    }
    case 'unlink':
      await unlink(at);
      return {};
    case 'rename':
      await rename(at, path.join(directory, input.to));
      return {};
    case 'lookup':
      return { ino: String((await stat(at)).ino) };
  }
}

/** Users of a few names in directories that all of them share, every operation recorded with its answer. */
export async function names(directory: string, name: string, inbox: Inbox): Promise<void> {
  for (let n = 0; !inbox.ended; n++) {
    const epoch = `names-${Math.floor(Date.now() / EPOCH_MS)}`;
    const shared = path.join(directory, epoch);
    const input = randomInput();
    const start = performance.now();
    let call = nowNs();
    let output: NameOutput | undefined;
    let failure = '';
    try {
      await mkdir(shared).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw new Error(error.code);
      });
      call = nowNs();
      emit({ kind: 'begun', operation: { directory: epoch, id: `${name}-${n}`, call, ret: call, input } });
      output = await perform(shared, input);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? String(error);
      // Also what the bare directory says of any name while nothing is mounted.
      if (EXPECTED.has(code) && (await isThere(shared))) output = { error: code };
      else failure = code;
    }
    const operation = { directory: epoch, id: `${name}-${n}`, call, ret: nowNs(), input };
    emit({ kind: 'history', operation: output === undefined ? operation : { ...operation, output } });
    const ms = Math.round(performance.now() - start);
    if (failure === '') emit({ kind: 'done', what: 'names', ms });
    else emit({ kind: 'failed', what: 'names', ms, error: failure });
    await sleep(PAUSE_MS);
  }
}
