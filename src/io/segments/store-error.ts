import { BlockStoreError } from '../../ports/block-store.ts';

/** What the file system says, in the words of the port. */
export function storeError(error: unknown): BlockStoreError {
  if (error instanceof BlockStoreError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  const full = code === 'ENOSPC' || code === 'EDQUOT';
  return new BlockStoreError(full ? 'no-space' : 'io', message ?? String(error), { cause: error });
}
