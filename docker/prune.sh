#!/bin/sh
# In the image's build: deletes from node_modules and dist what no process reads. Run where these two folders are.
set -eu
cd node_modules
platform="linux-$(node -p process.arch)"
# Native parts for other platforms, and the sources of what was built or came built.
for package in rocksdb fuse-native; do
  [ -d "$package/prebuilds/$platform" ] || continue
  find "$package/prebuilds" -mindepth 1 -maxdepth 1 -type d ! -name "$platform" -exec rm -rf {} +
  find "$package/prebuilds" -name '*.musl.node' -delete
  find "$package/prebuilds" -name 'electron.*' -delete
  rm -rf "$package/deps" "$package/build" "$package/test"
  rm -f "$package"/*.cc "$package"/*.c "$package"/*.h "$package"/*.gyp
done
rm -rf fuse-shared-library-darwin fuse-shared-library-linux-arm fuse-shared-library-linux/example fuse-shared-library-linux/libfuse/include
# Types, maps of code that is not here, documents, and the TypeScript that packages carry along.
rm -rf fastify/docs fastify/test fastify/examples fastify/integration
rm -rf @types undici-types zod/src .bin .package-lock.json .ringfs-lock
find . -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' -o -iname '*.md' -o -name '*.tsbuildinfo' \) -delete
cd ../dist
find . -type f \( -name '*.tsbuildinfo' -o -name '*.d.ts' -o -name '*.map' \) -delete
