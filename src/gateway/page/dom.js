/** What the views share. Text becomes text nodes, never HTML. */

export const byId = (id) => document.getElementById(id);

/** An element: attributes are set as such, functions listen, children are nodes or text. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(key, value);
    else if (value !== undefined && value !== false) element.setAttribute(key, value === true ? '' : value);
  }
  element.append(...children);
  return element;
}

export function say(text) {
  const message = byId('message');
  message.textContent = text;
  message.hidden = text === '';
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

export function bytes(count) {
  const exponent = count <= 0 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(count) / 10));
  return `${(count / 1024 ** exponent).toFixed(exponent === 0 ? 0 : 1)} ${UNITS[exponent]}`;
}

/** Asks for JSON. Throws an Error with the words of the gateway, and its `code`. */
export async function ask(path, options = {}) {
  const response = await fetch(path, options);
  const type = response.headers.get('content-type') ?? '';
  const answer = type.startsWith('application/json') ? await response.json() : undefined;
  if (response.ok) return answer;
  throw failure(response.status, answer);
}

export function failure(status, answer) {
  const { code = String(status), message = 'the gateway does not answer as expected' } = answer?.error ?? {};
  return Object.assign(new Error(`${message} (${code})`), { code });
}

/** Opens the dialog. Resolves with the name that was typed, `true` where none is asked for, or undefined. */
export function question({ title, text = '', confirm, name, danger = false }) {
  const [dialog, input, button] = [byId('ask'), byId('ask-input'), byId('ask-confirm')];
  byId('ask-title').textContent = title;
  byId('ask-text').textContent = text;
  byId('ask-text').hidden = text === '';
  byId('ask-label').hidden = name === undefined;
  input.required = name !== undefined;
  input.value = name ?? '';
  button.textContent = confirm;
  button.className = danger ? 'danger' : 'primary';
  dialog.returnValue = '';
  dialog.showModal();
  if (name === undefined) byId('ask-cancel').focus();
  else input.select();
  return new Promise((resolve) => {
    const form = byId('ask-form');
    const done = new AbortController();
    const { signal } = done;
    let answer;
    byId('ask-cancel').addEventListener('click', () => dialog.close(), { signal });
    form.addEventListener(
      'submit',
      () => {
        answer = name === undefined ? true : input.value;
      },
      { signal },
    );
    dialog.addEventListener(
      'close',
      () => {
        done.abort();
        resolve(answer);
      },
      { signal },
    );
  });
}
