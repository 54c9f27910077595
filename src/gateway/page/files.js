import { ask, byId, bytes, failure, make, question, say } from './dom.js';

const PAGE_ENTRIES = 200;

/** The folder that is shown, percent-encoded, with a slash at its end. */
let folder = '/';
let after = null;
/** Counts what was begun to be shown, so that late answers do not mix. */
let showing = 0;

const encodeText = (name) =>
  encodeURIComponent(name).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16)}`);
const decodeText = (encoded) => {
  try {
    return decodeURIComponent(encoded);
  } catch {
    return encoded;
  }
};

export async function showFolder(path) {
  folder = path;
  showCrumbs();
  await reload();
}

async function reload() {
  showing++;
  byId('entries').replaceChildren();
  await more('');
}

async function more(from) {
  const mine = showing;
  const query = from === '' ? '' : `&after=${encodeURIComponent(from)}`;
  try {
    const page = await ask(`/v1/list${folder}?limit=${PAGE_ENTRIES}${query}`);
    if (mine !== showing) return;
    say('');
    byId('entries').append(...page.entries.map(rowOf));
    after = page.next;
  } catch (error) {
    if (mine !== showing) return;
    after = null;
    if (error.code === 'ENOTDIR') return location.replace(`/v1/files${folder.slice(0, -1)}`);
    say(error.message);
  }
  byId('more').hidden = after === null;
  byId('nothing').hidden = byId('entries').children.length > 0 || !byId('message').hidden;
}

function showCrumbs() {
  const names = folder.split('/').filter((name) => name !== '');
  const links = names.map((name, i) =>
    make('a', { href: `#/${names.slice(0, i + 1).join('/')}/` }, decodeText(name)),
  );
  const all = [make('a', { href: '#/' }, 'All files'), ...links];
  all.at(-1).setAttribute('aria-current', 'page');
  byId('crumbs').replaceChildren(...all);
}

function rowOf(entry) {
  const path = `${folder}${entry.encoded}`;
  const directory = entry.type === 'directory';
  const readable = directory || entry.type === 'file' || entry.type === 'symlink';
  // Where a link leads is found out when it is followed.
  const target =
    entry.type !== 'file'
      ? { href: `#${path}/` }
      : { href: `/v1/files${path}`, target: '_blank', rel: 'noopener' };
  const link = readable ? make('a', target, entry.name) : entry.name;
  const note = entry.target === undefined ? [] : [make('span', { class: 'note' }, `→ ${entry.target}`)];
  const kind = make('span', { class: `kind ${entry.type}`, 'aria-hidden': 'true' });
  const action = (text, act) =>
    make(
      'button',
      { type: 'button', class: 'plain', 'aria-label': `${text} ${entry.name}`, click: act },
      text,
    );
  const save = { href: `/v1/files${path}?download`, class: 'plain', 'aria-label': `Download ${entry.name}` };
  return make(
    'tr',
    {},
    make('th', { scope: 'row' }, kind, link, ...note),
    make('td', { class: 'number' }, sizeOf(entry)),
    make('td', { class: 'when' }, new Date(entry.mtime).toLocaleString()),
    make('td', { class: 'mode' }, entry.mode),
    make(
      'td',
      { class: 'does' },
      ...(entry.type === 'file' ? [make('a', save, 'Download')] : []),
      action('Rename', () => rename(entry, path)),
      action('Delete', () => remove(entry, path)),
    ),
  );
}

function sizeOf({ type, size }) {
  if (type === 'file') return bytes(size);
  if (type === 'directory') return size === 1 ? '1 entry' : `${size} entries`;
  return '–';
}

/** Does it, says what went wrong, and shows what there is now. */
async function change(work) {
  try {
    await work();
    await reload();
  } catch (error) {
    await reload();
    say(error.message);
  }
}

async function makeDirectory() {
  const name = await question({ title: 'New folder', confirm: 'Create', name: '' });
  if (name === undefined) return;
  await change(() => ask(`/v1/mkdir${folder}${encodeText(name)}`, { method: 'POST' }));
}

async function rename(entry, path) {
  const name = await question({ title: 'Rename', confirm: 'Rename', name: entry.name });
  if (name === undefined || name === entry.name) return;
  const body = JSON.stringify({ from: path, to: `${folder}${encodeText(name)}`, noReplace: true });
  await change(() => ask('/v1/rename', { method: 'POST', body }));
}

async function remove(entry, path) {
  const directory = entry.type === 'directory';
  const text = directory
    ? `The folder “${entry.name}” and everything in it will be gone.`
    : `“${entry.name}” will be gone.`;
  if (!(await question({ title: 'Delete?', text, confirm: 'Delete', danger: true }))) return;
  await change(async () => {
    // A large tree goes in portions.
    for (let done = false; !done; ) {
      const answer = await ask(`/v1/files${path}${directory ? '?recursive' : ''}`, { method: 'DELETE' });
      done = answer?.done ?? true;
    }
  });
}

async function upload(files) {
  const to = folder;
  for (const file of files) {
    const path = `/v1/files${to}${encodeText(file.name)}`;
    try {
      // Asked first, to spare the upload; and decided when it ends.
      if (await exists(path)) throw Object.assign(new Error(), { code: 'PRECONDITION_FAILED' });
      await send(path, file, { 'if-none-match': '*' });
    } catch (error) {
      if (error.code !== 'PRECONDITION_FAILED') {
        say(`${file.name}: ${error.message}`);
        continue;
      }
      const text = `There is a file “${file.name}” already.`;
      const replace = await question({ title: 'Replace?', text, confirm: 'Replace', danger: true });
      if (replace) await send(path, file, {}).catch((again) => say(`${file.name}: ${again.message}`));
    }
  }
  const trouble = byId('message').textContent;
  await reload();
  if (trouble !== '') say(trouble);
}

const exists = async (path) => (await fetch(path, { method: 'HEAD' })).ok;

/** With XMLHttpRequest: fetch does not tell how far an upload is. */
function send(path, file, headers) {
  const request = new XMLHttpRequest();
  const bar = make('progress', { max: '1', value: '0', 'aria-label': `Upload of ${file.name}` });
  const figure = make('span', { class: 'cut' }, bytes(file.size));
  const cancel = make('button', { type: 'button', class: 'plain', click: () => request.abort() }, 'Cancel');
  const row = make('li', {}, make('span', { class: 'cut' }, file.name), bar, figure, cancel);
  byId('transfers').append(row);
  byId('transfers').hidden = false;
  return new Promise((resolve, reject) => {
    request.upload.addEventListener('progress', ({ loaded, total }) => {
      bar.value = total === 0 ? 1 : loaded / total;
      figure.textContent = `${Math.round(bar.value * 100)} % of ${bytes(total)}`;
    });
    request.addEventListener('load', () => {
      if (request.status < 300) resolve();
      else reject(failure(request.status, parsed(request.responseText)));
    });
    request.addEventListener('error', () => reject(new Error('the connection was lost')));
    request.addEventListener('abort', () => reject(new Error('canceled')));
    request.addEventListener('loadend', () => {
      row.remove();
      byId('transfers').hidden = byId('transfers').children.length === 0;
    });
    request.open('PUT', path);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.send(file);
  });
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function startFiles() {
  const section = byId('files');
  byId('more').addEventListener('click', () => more(after));
  byId('make-directory').addEventListener('click', makeDirectory);
  byId('upload').addEventListener('click', () => byId('upload-input').click());
  byId('upload-input').addEventListener('change', async ({ target }) => {
    await upload([...target.files]);
    target.value = '';
  });
  section.addEventListener('dragover', (event) => {
    event.preventDefault();
    section.classList.add('dropping');
  });
  section.addEventListener('dragleave', () => section.classList.remove('dropping'));
  section.addEventListener('drop', (event) => {
    event.preventDefault();
    section.classList.remove('dropping');
    upload([...event.dataTransfer.files]);
  });
}
