import { open, readdir } from 'node:fs/promises';
import path from 'node:path';
import { CommandError } from '../commands.ts';
import type { Rig } from '../rig.ts';
import type { Scenario } from '../scenario.ts';

/** One byte is turned over in every so many. */
const FLIP_EVERY_BYTES = 64 << 10;
const FLIPS_MAX = 500;
/** Damage was found and all of it repaired. */
const REPAIRED = 1;

/** Damages what a server has stored of blocks, under the running process. Returns how many bytes were changed. */
async function flipBytes(rig: Rig, server: string): Promise<number> {
  const folder = path.join(rig.dataOf(server), 'block');
  let flipped = 0;
  for (const name of (await readdir(folder)).filter((one) => one.endsWith('.dat'))) {
    const file = await open(path.join(folder, name), 'r+');
    try {
      const { size } = await file.stat();
      const byte = Buffer.alloc(1);
      // The header of a segment is left alone: a file that is no segment any more is another kind of damage.
      for (let at = FLIP_EVERY_BYTES; at < size && flipped < FLIPS_MAX; at += FLIP_EVERY_BYTES) {
        await file.read(byte, 0, 1, at);
        byte[0]! ^= 0xff;
        await file.write(byte, 0, 1, at);
        flipped++;
      }
    } finally {
      await file.close();
    }
  }
  return flipped;
}

export const corruptVolume: Scenario = {
  name: 'corrupt-volume',
  summary: 'bytes of the blocks on one server are turned over while it runs; ringfs fsck has them replaced',
  chaos: 'servers',
  async run(stage) {
    const server = stage.some(await stage.followers());
    stage.note(`turned ${await flipBytes(stage.rig, server)} bytes over on ${server}`);
    await stage.hold(3);
    // What was damaged and is not referred to any more is not looked at; what is, is repaired, and then all is well.
    const first = await stage.rig.operate(stage.rig.metas, 'fsck', '--repair').then(
      () => 'nothing was wrong any more',
      (error: unknown) => {
        if (!(error instanceof CommandError) || error.status !== REPAIRED) throw error;
        return 'damage was found, and all of it repaired';
      },
    );
    stage.note(`fsck --repair: ${first}`);
    await stage.rig.operate(stage.rig.metas, 'fsck');
    stage.note('fsck: nothing is wrong');
  },
};
