import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { replay, Transcript } from '../../../support/raft-transcript.ts';

/** The texts are beside the sources. REWRITE=1 writes down what happens now; the difference is for people to look at. */
const SOURCES = path.resolve(import.meta.dirname, '../../../../../test/unit/core/raft');
const FOLDER = path.join(SOURCES, 'transcripts');
const rewrite = process.env['REWRITE'] === '1';

describe('transcripts of Raft', () => {
  for (const name of readdirSync(FOLDER).sort()) {
    it(name, () => {
      const file = path.join(FOLDER, name);
      const text = readFileSync(file, 'utf8');
      const happened = replay(text);
      if (rewrite) writeFileSync(file, happened);
      else assert.equal(text, happened);
    });
  }

  it('are of commands that exist, with nodes that exist', () => {
    assert.throws(() => new Transcript().run('dance a'), /no command dance/);
    assert.throws(() => new Transcript().run('campaign a'), /node a/);
  });
});
