import { once } from 'node:events';
import { type ServerWritableStream, status } from '@grpc/grpc-js';

/** Answers a call with a stream of messages at the pace of the client. What `open` or a part rejects with is what the client is told. */
export function serveParts<Request, Part>(
  call: ServerWritableStream<Request, Part>,
  open: () => Promise<AsyncIterableIterator<Part>>,
): void {
  write(call, open).catch((error: unknown) => {
    const details = error instanceof Error ? error.message : String(error);
    call.emit('error', { code: status.FAILED_PRECONDITION, details });
  });
}

async function write<Request, Part>(
  call: ServerWritableStream<Request, Part>,
  open: () => Promise<AsyncIterableIterator<Part>>,
): Promise<void> {
  // Waiting for a client that is gone must end too.
  const gone = new AbortController();
  call.once('cancelled', () => gone.abort());
  call.once('close', () => gone.abort());
  const parts = await open();
  try {
    for await (const part of parts) {
      if (gone.signal.aborted) return;
      if (call.write(part)) continue;
      await once(call, 'drain', { signal: gone.signal }).catch(() => undefined);
    }
  } finally {
    await parts.return?.();
  }
  call.end();
}
