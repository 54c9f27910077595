import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkMachine, type MachineView, type Needs, RigError } from '../../../docker/rig/checks.ts';

const NETNS: Needs = { form: 'netns', clocks: false };
const DOCKER: Needs = { form: 'docker', clocks: true };

/** A machine on which every command succeeds but those that match. */
function machineWithout(missing: RegExp, view: Partial<MachineView> = {}): MachineView {
  return {
    platform: 'linux',
    uid: 0,
    run: async (...command) => {
      if (missing.test(command.join(' '))) throw new Error(`${command.join(' ')} failed`);
    },
    ...view,
  };
}

const NOTHING = /$^/;
const refusal = (pattern: RegExp) => (error: unknown) =>
  error instanceof RigError && pattern.test(error.message);

describe('what the rig needs', () => {
  it('is there', async () => {
    for (const needs of [NETNS, DOCKER]) await checkMachine(needs, machineWithout(NOTHING));
  });

  it('is root on Linux', async () => {
    for (const view of [{ uid: 1000 }, { platform: 'darwin' }]) {
      await assert.rejects(checkMachine(NETNS, machineWithout(NOTHING, view)), refusal(/run it as root/));
    }
  });

  it('is /dev/fuse', async () => {
    await assert.rejects(
      checkMachine(NETNS, machineWithout(/\/dev\/fuse/)),
      refusal(/there is no \/dev\/fuse/),
    );
  });

  it('is programs, each package named once', async () => {
    const without = machineWithout(/command -v (nsenter|flock|sqlite3)$/);
    await assert.rejects(
      checkMachine(NETNS, without),
      refusal(/^missing programs: apt-get install util-linux sqlite3$/),
    );
  });

  it('is libfaketime, for clocks of processes on this machine only', async () => {
    const without = machineWithout(/faketime/);
    await assert.rejects(
      checkMachine({ form: 'netns', clocks: true }, without),
      refusal(/install faketime$/),
    );
    await checkMachine(NETNS, without);
    await checkMachine(DOCKER, without);
  });

  it('is a Docker engine, for containers', async () => {
    const without = machineWithout(/engine\.sh/);
    await assert.rejects(checkMachine(DOCKER, without), refusal(/^--docker needs a Docker engine: /));
    await checkMachine(NETNS, without);
  });
});
