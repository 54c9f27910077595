import type { VfsCore } from '../core.ts';
import type { OpenFile } from '../handle-table.ts';
import type { InodeState } from '../inode-state.ts';
import { interruptible } from '../wait.ts';
import type { WriteBack } from '../write-back.ts';
import { reportError } from './write.ts';

/** fsync(2): all that was written to the inode before is durable, or the caller hears why not. */
export async function fsync(writeBack: WriteBack, file: OpenFile, signal?: AbortSignal): Promise<void> {
  try {
    await interruptible(writeBack.flush(file.state), signal);
  } catch (thrown) {
    // Reported by being thrown. An interrupted wait is not a failure of the data.
    if (!signal?.aborted) file.errorSeen = file.state.errorSequence;
    throw thrown;
  }
  reportError(file);
}

/** close(2) of one descriptor. What nobody can open again need not be stored. */
export async function flush(writeBack: WriteBack, file: OpenFile, signal?: AbortSignal): Promise<void> {
  if (!file.writable) return;
  const { state } = file;
  if (state.removed && state.handles === 1) return;
  await fsync(writeBack, file, signal);
}

/** The last descriptor of this handle is gone. Data that could not be flushed is tried again in the background. */
export async function release(core: VfsCore, writeBack: WriteBack, file: OpenFile): Promise<void> {
  await letGo(core, writeBack, file.state);
}

/** One handle less on the inode. */
export async function letGo(core: VfsCore, writeBack: WriteBack, state: InodeState): Promise<void> {
  state.handles--;
  if (state.handles > 0) return;
  if (state.removed) {
    writeBack.discard(state);
    return;
  }
  if (state.dirty) await writeBack.flushClosed(state);
  core.inodes.collect(state);
}
