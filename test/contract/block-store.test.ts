import { MemoryBlockStore } from '../support/memory-block-store.ts';
import { SegmentFixture } from '../support/segment-fixture.ts';
import { blockStoreContract } from './block-store-suite.ts';

blockStoreContract('memory', async () => ({
  async open(options) {
    const store = new MemoryBlockStore();
    if (options?.capacityBytes !== undefined) store.capacityBytes = options.capacityBytes;
    return store;
  },
  async cleanup() {},
}));

blockStoreContract('segments', () => SegmentFixture.make());
