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

blockStoreContract('segments', async () => {
  const fixture = await SegmentFixture.make();
  return {
    open: (options = {}) => {
      const { capacityBytes } = options;
      // Small segments, so that a few blocks fill one.
      const small = capacityBytes === undefined ? {} : { segmentSizeBytesMax: Math.ceil(capacityBytes / 16) };
      return fixture.open({ ...options, ...small });
    },
    cleanup: () => fixture.cleanup(),
  };
});
