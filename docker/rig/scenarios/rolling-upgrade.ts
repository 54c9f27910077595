import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { until } from '../commands.ts';
import { NEXT_SUFFIX } from '../next-version.ts';
import type { Scenario, Stage } from '../scenario.ts';

const REFUSED_MS = 60_000;

/** By server, as `ringfs status` has it. */
async function versions(stage: Stage): Promise<Map<string, string>> {
  const { servers } = await stage.rig.status();
  return new Map(servers.map(({ id, version }) => [id, version ?? 'does not answer']));
}

/** A data directory of a format that is too new is refused, and left as it is. */
async function tryFutureFormat(stage: Stage, server: string): Promise<void> {
  const file = path.join(stage.rig.dataOf(server), 'ringfs.json');
  const identity = await readFile(file, 'utf8');
  await writeFile(file, JSON.stringify({ ...(JSON.parse(identity) as object), format: 99 }));
  await stage.rig.start(server);
  await until(`${server} refuses its directory`, REFUSED_MS, async () =>
    /has format version 99; this RingFS reads version/.test(await stage.rig.log(server)),
  );
  await stage.rig.kill(server);
  await writeFile(file, identity);
  stage.note(`${server} refused a data directory of format version 99`);
}

export const rollingUpgrade: Scenario = {
  name: 'rolling-upgrade',
  summary: 'every server is replaced by one of a higher version, one after the other, the leader last',
  async run(stage) {
    const leader = await stage.leader();
    const servers = [...stage.rig.servers.filter((name) => name !== leader), leader];
    for (const [i, server] of servers.entries()) {
      await stage.rig.stop(server);
      if (i === 0) await tryFutureFormat(stage, server);
      stage.rig.install(server, 'next');
      await stage.rig.start(server);
      await stage.whole();
      const now = await versions(stage);
      const upgraded = [...now.values()].filter((version) => version.endsWith(NEXT_SUFFIX)).length;
      if (upgraded !== i + 1) throw new Error(`${i + 1} servers should be upgraded: ${[...now].join(' ')}`);
      stage.note(`${server} runs ${now.get(server)}; ${servers.length - upgraded} servers are older`);
    }
  },
};
