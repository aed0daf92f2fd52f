// The configurations that the reader has pinned, in the order of pinning. They are kept by their labels, which stay
// what they are when more runs arrive.

import { announce } from "pages/announce.js";
import * as view from "report/view.js";

export const MOST = 6;

export const labels = () => (Array.isArray(view.get("pins")) ? view.get("pins") : []);

/** Positions of the pinned configurations. */
export function pinned(report) {
  return labels()
    .map((label) => report.position.get(label))
    .filter((c) => c !== undefined);
}

/** Pin a configuration, or take its pin away. */
export function toggle(label) {
  const now = labels();
  if (now.includes(label)) {
    store(now.filter((other) => other !== label));
    announce(`${label} is no longer pinned`);
  } else {
    store([...now, label].slice(-MOST));
    announce(now.length < MOST ? `${label} is pinned` : `${label} is pinned in place of ${now[0]}`);
  }
}

export const clear = () => store([]);

export const onChange = (listener) => view.on("pins", listener);

const store = (found) => view.set("pins", found.length ? found : null);
