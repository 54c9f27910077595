import assert from 'node:assert/strict';
import { it } from 'node:test';
import { FlippedBytes } from './flipped-bytes.ts';

/** Of every file. */
const FLIPS = Number(process.env['FLIPS'] ?? 3);

it(`a flipped byte of any file of the block store is found and healed, ${FLIPS} times in each file`, async () => {
  const trials = await FlippedBytes.make(Number(process.env['SEED'] ?? 1));
  try {
    const { segments, index } = trials.files;
    assert.ok(segments.length >= 4, 'several segments');
    assert.ok(index.some((name) => name.endsWith('.sst')) && index.some((name) => name.endsWith('.log')));
    let healed = 0;
    let setAside = 0;
    let rebuilt = 0;
    for (const file of [...segments, ...index]) {
      for (let i = 0; i < FLIPS; i++) {
        const outcome = await trials.run(file);
        healed += outcome.healed;
        setAside += outcome.setAside;
        rebuilt += outcome.rebuilt ? 1 : 0;
      }
    }
    // Most of a segment is live; a flip of the index is often in what its next opening does not read.
    assert.ok(healed > 0 && setAside > 0 && rebuilt > 0, JSON.stringify({ healed, setAside, rebuilt }));
  } finally {
    await trials.close();
  }
});
