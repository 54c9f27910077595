import { showCluster, startCluster, watchHealth } from './cluster.js';
import { byId, say } from './dom.js';
import { showFolder, startFiles } from './files.js';

const HEALTH_INTERVAL_MS = 15_000;

/** The address says what is shown: `#cluster`, or `#/path/of/a/folder/`. */
function show() {
  const { hash } = location;
  const cluster = hash === '#cluster';
  say('');
  for (const view of ['files', 'cluster']) {
    const shown = (view === 'cluster') === cluster;
    byId(view).hidden = !shown;
    const tab = byId(`tab-${view}`);
    if (shown) tab.setAttribute('aria-current', 'page');
    else tab.removeAttribute('aria-current');
  }
  document.title = cluster ? 'Cluster – RingFS' : 'RingFS';
  if (cluster) return showCluster();
  const path = hash.startsWith('#/') ? hash.slice(1) : '/';
  byId('tab-files').href = `#${path}`;
  return showFolder(path.endsWith('/') ? path : `${path}/`);
}

startFiles();
startCluster();
addEventListener('hashchange', show);
watchHealth();
setInterval(watchHealth, HEALTH_INTERVAL_MS);
show();
