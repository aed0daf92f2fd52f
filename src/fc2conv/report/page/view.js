// What the reader has chosen (order, filter, columns, baseline, pins, ...), kept in the page's address so that it can
// be shared. Each value is JSON under its name; what is as it was at first is left out.

let values = read();
const listeners = new Map();

function read() {
  const found = new Map();
  for (const [name, text] of new URLSearchParams(location.hash.slice(1))) {
    try {
      found.set(name, JSON.parse(text));
    } catch {
      // an address that somebody cut short or wrote by hand
    }
  }
  return found;
}

export const get = (name) => values.get(name);

/** Remember `value`; null forgets it. */
export function set(name, value) {
  const next = value ?? undefined;
  if (JSON.stringify(next) === JSON.stringify(values.get(name))) return;
  if (next === undefined) values.delete(name);
  else values.set(name, next);
  write();
  for (const listener of listeners.get(name) ?? []) listener(value);
}

let waiting = false;

/** Put the values into the address: once for all that are set together, since browsers count such changes. */
function write() {
  if (waiting) return;
  waiting = true;
  queueMicrotask(() => {
    waiting = false;
    const hash = new URLSearchParams([...values].map(([name, value]) => [name, JSON.stringify(value)])).toString();
    history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
  });
}

/** Call `listener` with the value whenever the reader changes it. */
export function on(name, listener) {
  listeners.set(name, [...(listeners.get(name) ?? []), listener]);
}

/** Forget the listeners of a page that is built anew. */
export const silence = () => listeners.clear();

/** Call `listener` when somebody enters another address in this window. */
export function onAddress(listener) {
  window.addEventListener("hashchange", () => {
    values = read();
    listener();
  });
}
