import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { openRocksKv } from '../../src/io/rocksdb/rocks-kv.ts';
import { MemoryKvStore } from '../support/memory-kv-store.ts';
import { kvStoreContract } from './kv-store-suite.ts';

const root = await mkdtemp(join(tmpdir(), 'ringfs-kv-'));
let count = 0;
after(() => rm(root, { recursive: true, force: true }));

kvStoreContract('memory', async () => new MemoryKvStore());
kvStoreContract('rocksdb', () => openRocksKv(join(root, String(count++))));
