import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { openEventLoopReader } from '../../../../mount/devfuse/event-loop-reader.ts';

/** A pipe with a name, whose reading end is the reader's. */
async function withPipe(
  test: (reader: NonNullable<ReturnType<typeof openEventLoopReader>>, writer: number) => Promise<void>,
): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'ringfs-reader-'));
  const path = join(dir, 'pipe');
  execFileSync('mkfifo', [path]);
  const both = openSync(path, 'r+'); // a reader alone would wait for a writer
  const reading = openSync(path, 'r');
  const writer = openSync(path, 'w');
  closeSync(both);
  const reader = openEventLoopReader(reading);
  assert.ok(reader, 'this runtime can poll a descriptor');
  try {
    await test(reader, writer);
  } finally {
    reader.close();
    rmSync(dir, { recursive: true });
  }
}

describe('EventLoopReader', () => {
  it('reads into the buffer it was given last, until it is given none', () =>
    withPipe(async (reader, writer) => {
      const [first, second] = [Buffer.alloc(100), Buffer.alloc(100)];
      const lengths: number[] = [];
      writeSync(writer, 'one');
      await reader.run(first, (length) => {
        lengths.push(length);
        if (lengths.length === 2) return undefined;
        writeSync(writer, 'second');
        return second;
      });
      assert.deepEqual(lengths, [3, 6]);
      assert.equal(first.toString('latin1', 0, 3), 'one');
      assert.equal(second.toString('latin1', 0, 6), 'second');
      // It can be started again.
      writeSync(writer, 'third');
      await reader.run(first, (length) => {
        lengths.push(length);
        return undefined;
      });
      assert.equal(first.toString('latin1', 0, lengths[2]), 'third');
      closeSync(writer);
    }));

  it('says when nothing more will come', () =>
    withPipe(async (reader, writer) => {
      closeSync(writer);
      await assert.rejects(
        reader.run(Buffer.alloc(10), () => assert.fail('nothing was written')),
        { code: 'EOF' },
      );
    }));

  it('is not there for a descriptor that cannot be polled', () => {
    assert.equal(openEventLoopReader(1_000_000), undefined);
  });
});
