// A configuration's label that pins it.

import { el } from "pages/dom.js";
import * as pins from "report/pins.js";

/** A button with the label, pressed while the configuration is pinned. */
export function pinButton(label, text = label) {
  const is = () => String(pins.labels().includes(label));
  const button = el(
    "button",
    {
      type: "button",
      class: "pin",
      "aria-pressed": is(),
      "aria-label": `Pin ${label}`,
      title: `Pin ${label}`,
      onclick: () => pins.toggle(label),
    },
    text,
  );
  pins.onChange(() => button.setAttribute("aria-pressed", is()));
  return button;
}
