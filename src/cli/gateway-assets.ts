import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Asset } from '../gateway/gateway.ts';

/** No build step makes them: they are read where they are written. */
const FOLDER = path.join(import.meta.dirname, '../../../src/gateway/page');

const FILES = [
  { path: '/', file: 'index.html', type: 'text/html; charset=utf-8' },
  { path: '/app.css', file: 'app.css', type: 'text/css; charset=utf-8' },
  { path: '/app.js', file: 'app.js', type: 'text/javascript; charset=utf-8' },
  { path: '/cluster.js', file: 'cluster.js', type: 'text/javascript; charset=utf-8' },
  { path: '/files.js', file: 'files.js', type: 'text/javascript; charset=utf-8' },
  { path: '/dom.js', file: 'dom.js', type: 'text/javascript; charset=utf-8' },
] as const;

/** The web page of the gateway. */
export const gatewayAssets = (): readonly Asset[] =>
  FILES.map(({ path: url, file, type }) => ({
    path: url,
    type,
    text: readFileSync(path.join(FOLDER, file), 'utf8'),
  }));
