import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { openEventLoopReader } from '../../../../mount/devfuse/event-loop-reader.ts';

/** A pipe with a name, whose reading end is the reader's. */
async function withPipe(
  test: (
    reader: NonNullable<ReturnType<typeof openEventLoopReader>>,
    writer: number,
    path: string,
  ) => Promise<void>,
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
    await test(reader, writer, path);
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

  it('takes no request where another reader was faster', () =>
    withPipe(async (reader, writer, path) => {
      const other = openEventLoopReader(openSync(path, 'r'));
      assert.ok(other);
      const taken: string[] = [];
      const take = (name: string, buffer: Buffer) => (length: number) => {
        taken.push(`${name} ${buffer.toString('latin1', 0, length)}`);
        const next = taken.length;
        // Both are woken for each write, and one of them finds the pipe empty: the next is written when both have looked.
        setImmediate(() => {
          if (next < 10) writeSync(writer, String(next));
          else closeSync(writer);
        });
        return buffer;
      };
      const [first, second] = [Buffer.alloc(10), Buffer.alloc(10)];
      writeSync(writer, '0');
      await Promise.all([
        assert.rejects(reader.run(first, take('first', first)), { code: 'EOF' }),
        assert.rejects(other.run(second, take('second', second)), { code: 'EOF' }),
      ]);
      other.close();
      assert.deepEqual(
        taken.map((line) => line.split(' ')[1]),
        Array.from({ length: 10 }, (_, i) => String(i)),
      );
    }));

  it('is not there for a descriptor that cannot be polled', () => {
    assert.equal(openEventLoopReader(1_000_000), undefined);
  });
});
