// Parts of a stage that are shown one at a time.

import { el } from "pages/dom.js";

let made = 0;

/**
 * @param {string} label what the parts are parts of
 * @param {{title: string, says: string, tries?: string[], build: function(): Node}[]} parts built when they are first
 *   opened; tries: what one may do there, in this order
 */
export function tabs(label, parts) {
  made += 1;
  const built = new Set();
  const panels = parts.map(({ says, tries = [] }, i) =>
    el(
      "div",
      { role: "tabpanel", id: `panel${made}-${i}`, "aria-labelledby": `tab${made}-${i}`, hidden: true },
      el("p", { class: "about" }, says),
      tries.length ? el("ol", { class: "about" }, ...tries.map((text) => el("li", {}, text))) : null,
    ),
  );
  const buttons = parts.map(({ title }, i) =>
    el(
      "button",
      {
        type: "button",
        role: "tab",
        id: `tab${made}-${i}`,
        "aria-controls": panels[i].id,
        onclick: () => open(i),
        onkeydown: press,
      },
      title,
    ),
  );
  const list = el("div", { role: "tablist", "aria-label": label }, ...buttons);

  function open(chosen) {
    panels.forEach((panel, i) => {
      panel.hidden = i !== chosen;
      buttons[i].setAttribute("aria-selected", i === chosen);
      buttons[i].tabIndex = i === chosen ? 0 : -1;
    });
    if (built.has(chosen)) return;
    built.add(chosen);
    panels[chosen].append(parts[chosen].build());
  }

  function press(event) {
    const last = buttons.length - 1;
    const at = buttons.indexOf(event.target);
    const [before, after] = [at === 0 ? last : at - 1, at === last ? 0 : at + 1];
    const to = { ArrowRight: after, ArrowLeft: before, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    open(to);
    buttons[to].focus();
  }

  open(0);
  return el("div", { class: "tabs" }, list, ...panels);
}
