/** The POSIX cases and the tools that people use, on a real cluster of three servers, under both front ends. */
import { after, before, describe } from 'node:test';
import { TestCluster } from '../support/test-cluster.ts';
import { FUSE_NATIVE_LACKS } from './posix-case.ts';
import { definePosixSuite, defineToolSuite } from './posix-suite.ts';

for (const driver of ['devfuse', 'fuse-native']) {
  describe(`a cluster mounted with ${driver}`, () => {
    let cluster: TestCluster;
    before(async () => {
      cluster = await TestCluster.start('--driver', driver);
    });
    after(() => cluster.remove());
    const target = {
      label: `${driver} on a cluster`,
      directory: () => cluster.mount,
      ...(driver === 'fuse-native' && { lacks: FUSE_NATIVE_LACKS }),
    };
    definePosixSuite(target);
    defineToolSuite(target);
  });
}
