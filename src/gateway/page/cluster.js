import { ask, byId, bytes, make, say } from './dom.js';

const MARKS = { ok: 'good', degraded: 'warn', starting: 'warn', stopping: 'warn' };

const mark = (health) => make('span', { class: `mark ${MARKS[health] ?? 'bad'}` }, health);

export async function showCluster() {
  try {
    const report = await ask('/v1/cluster');
    say('');
    showSummary(report);
    byId('servers').replaceChildren(...report.servers.map((server) => rowOf(server, report.leader)));
    showHealth(report.health);
  } catch (error) {
    say(error.message);
  }
}

function showSummary({ health, leader, servers }) {
  const rings = servers.map(({ ring }) => ring).filter((ring) => ring !== null);
  const sum = (key) => rings.reduce((total, ring) => total + (ring[key] ?? 0), 0);
  const healthy = servers.filter((server) => server.health === 'ok').length;
  const parts = [
    ['Health', mark(health)],
    ['Servers', `${healthy} of ${servers.length} healthy`],
    ['Leader', leader ?? 'none'],
    ['Copies stored', bytes(sum('storedBytes'))],
    ['Free for copies', bytes(sum('availableBytes'))],
    ['Lacking copies', String(sum('underReplicated'))],
  ];
  byId('summary').replaceChildren(
    ...parts.map(([name, value]) => make('div', {}, make('dt', {}, name), make('dd', {}, value))),
  );
}

function rowOf({ id, address, roles, health, detail, raft, ring, uptimeMs, version }, leader) {
  const note = (text) => (text ? [make('span', { class: 'note' }, text)] : []);
  return make(
    'tr',
    {},
    make('th', { scope: 'row' }, id, ...note(address)),
    make('td', {}, roles.join(', ') || '–', ...note(version && `version ${version}`)),
    make('td', {}, mark(health), ...note(detail)),
    make(
      'td',
      {},
      raftOf(raft, id === leader),
      ...note(raft && `term ${raft.term}, applied ${raft.appliedIndex}`),
    ),
    make('td', { class: 'number' }, ring ? `${(ring.share * 100).toFixed(1)} %` : '–'),
    make('td', { class: 'number' }, ring ? String(ring.blocks) : '–'),
    make('td', {}, ...capacityOf(ring)),
    make('td', { class: 'number' }, uptimeMs === undefined ? '–' : duration(uptimeMs)),
  );
}

function raftOf(raft, leads) {
  if (!raft) return '–';
  return leads ? make('strong', {}, 'leader') : raft.role;
}

function capacityOf(ring) {
  if (!ring) return ['–'];
  const { fileBytes, availableBytes } = ring;
  const total = Math.max(1, fileBytes + availableBytes);
  const text = `${bytes(fileBytes)} used, ${bytes(availableBytes)} free`;
  return [
    make('meter', { min: '0', max: String(total), value: String(fileBytes), 'aria-label': text }),
    make('span', { class: 'note' }, text),
  ];
}

function duration(ms) {
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.floor(hours / 24)} d`;
}

function showHealth(health) {
  byId('health').replaceChildren(mark(health));
}

/** The mark in the corner: whether the gateway can use the cluster. */
export async function watchHealth() {
  try {
    const response = await fetch('/healthz');
    const [word] = (await response.text()).trim().split(':');
    showHealth(word);
  } catch {
    showHealth('the gateway does not answer');
  }
}

export function startCluster() {
  byId('refresh').addEventListener('click', showCluster);
}
