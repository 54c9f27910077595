// The import boundaries of ARCHITECTURE.md, enforced. base <- gen <- core <- ports <- everything else;
// only the composition roots (src/cli, mount/main.ts) may reach adapters (src/io).
const forbid = (name, comment, from, to) => ({ name, comment, severity: 'error', from, to });

module.exports = {
  forbidden: [
    forbid('no-circular', 'A cycle has no layer.', { pathNot: '^src/gen' }, { circular: true }),
    forbid('base-imports-nothing', 'base is vocabulary.', { path: '^src/base' }, { pathNot: '^src/base' }),
    forbid(
      'core-is-pure',
      'core sees base and gen only.',
      { path: '^src/core' },
      { pathNot: '^src/(core|base|gen)' },
    ),
    forbid(
      'ports-are-interfaces',
      'ports see core, base, gen.',
      { path: '^src/ports' },
      { pathNot: '^src/(ports|core|base|gen)' },
    ),
    forbid(
      'adapters-only-in-roots',
      'meta, block, client, vfs, gateway meet the world through ports; only cli and mount/main.ts wire adapters in.',
      { path: '^(src/(meta|block|client|vfs|fsck|gateway)|mount/(devfuse|fuse-native))' },
      { path: '^src/(io|cli)/' },
    ),
    forbid(
      'io-does-not-import-up',
      'adapters implement ports and nothing else.',
      { path: '^src/io' },
      { path: '^(src/(meta|block|client|vfs|fsck|gateway|cli)/|mount)' },
    ),
    forbid(
      'vfs-knows-no-wire',
      'vfs speaks ports.',
      { path: '^src/vfs' },
      { path: '(^mount|@grpc|fuse-native|^src/(client|meta|block))' },
    ),
    forbid(
      'roles-are-separate',
      'meta and block meet only through ports.',
      { path: '^src/meta' },
      { path: '^src/block' },
    ),
    forbid(
      'roles-are-separate-2',
      'meta and block meet only through ports.',
      { path: '^src/block' },
      { path: '^src/meta' },
    ),
    forbid(
      'gateway-is-a-user',
      'of the VFS and of the ports; nothing but cli knows it, and it knows neither front ends nor servers.',
      { path: '^src/gateway' },
      { path: '^(mount|src/(meta|block|client|fsck)/)' },
    ),
    forbid(
      'nothing-below-knows-the-gateway',
      '',
      { path: '^(src|mount)', pathNot: '^src/(gateway|cli)' },
      { path: '^src/gateway' },
    ),
    forbid(
      'http-library-stays-in-its-adapter',
      'The gateway says what requests mean; which library serves them is for src/io/http.',
      { pathNot: '^(src/io/http|node_modules)' },
      { path: 'node_modules/fastify/' },
    ),
    forbid('clients-do-not-import-servers', '', { path: '^src/client' }, { path: '^src/(meta|block|vfs)' }),
    forbid('production-does-not-import-tests', '', { path: '^(src|mount)' }, { path: '^(test|docker)' }),
    forbid(
      'native-packages-stay-in-their-adapter',
      '',
      { pathNot: '^(src/io|mount/fuse-native|src/gen|test)' },
      { path: 'node_modules/(rocksdb|fuse-native|@grpc|prom-client)/' },
    ),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { extensions: ['.ts', '.js'] },
  },
};
