// The kernel as a grid of numbers: typed, or set by a click on a weight and a value.

import { el } from "pages/dom.js";
import { onTheme } from "pages/theme.js";
import { shade } from "playground/raster.js";
import { written } from "playground/stations/slide_images.js";

const VALUES = [-2, -1, -0.5, 0, 0.5, 1, 2];

/** The number that a text means, or null. */
export function meant(text) {
  const value = Number(text.trim().replace("−", "-").replace(",", "."));
  return text.trim() !== "" && Number.isFinite(value) ? value : null;
}

/**
 * @param {function(): void} onChange called after each change by the reader
 * @returns an editor: `show([height, width], weights, names)` takes the weights of all channels one after another, and
 *   writes the reader's changes into them; names: of the channels
 */
export function kernelEditor(onChange) {
  const grids = el("div", { class: "kernels" });
  const element = el("div", { class: "kernel-editor" }, grids);
  let [weights, inputs, chosen] = [[], [], 0];

  /** What a field shows is the weight, however it was typed. */
  function spell(at) {
    inputs[at].value = written(weights[at]);
    inputs[at].removeAttribute("aria-invalid");
  }

  function set(at, value) {
    weights[at] = value;
    spell(at);
    tint();
    onChange();
  }

  function typed(at) {
    const value = meant(inputs[at].value);
    if (value === null) return inputs[at].setAttribute("aria-invalid", "true");
    weights[at] = value;
    inputs[at].removeAttribute("aria-invalid");
    tint();
    return onChange();
  }

  function tint() {
    const most = Math.max(...weights.map(Math.abs)) || 1;
    inputs.forEach((input, at) => {
      const [red, green, blue] = shade(weights[at], { kind: "signed", low: -most, high: most });
      const luminance = 0.299 * red + 0.587 * green + 0.114 * blue;
      input.style.background = `rgb(${red} ${green} ${blue})`;
      input.style.color = luminance > 140 ? "#111" : "#fff";
    });
  }
  onTheme(tint);

  function choose(at) {
    chosen = at;
    inputs.forEach((input, i) => {
      input.classList.toggle("chosen", i === at);
    });
  }

  function press(event, at) {
    const step = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    set(at, +(weights[at] + step).toFixed(4));
  }

  function show([height, width], values, names) {
    weights = values;
    const field = (at, c) => {
      const pixel = at - c * height * width;
      const where = `row ${Math.floor(pixel / width)}, column ${pixel % width}`;
      return el("input", {
        type: "text",
        inputmode: "decimal",
        autocomplete: "off",
        "aria-label": `Weight${names.length > 1 ? ` of ${names[c]}` : ""}, ${where}`,
        value: written(weights[at]),
        oninput: () => typed(at),
        onblur: () => spell(at),
        onfocus: (event) => {
          choose(at);
          event.target.select();
        },
        onkeydown: (event) => press(event, at),
      });
    };
    inputs = weights.map((_, at) => field(at, Math.floor(at / (height * width))));
    grids.replaceChildren(
      ...names.map((name, c) =>
        el(
          "div",
          { class: "kernel", style: `--columns: ${width}`, "data-symbol": "V" },
          names.length > 1 ? el("span", { class: `channel ${name}` }, name) : null,
          ...inputs.slice(c * height * width, (c + 1) * height * width),
        ),
      ),
    );
    choose(Math.min(chosen, inputs.length - 1));
    tint();
  }

  element.append(
    el(
      "div",
      { class: "values", role: "group", "aria-label": "Set the chosen weight" },
      el("span", { class: "soft", "aria-hidden": "true" }, "set it to"),
      ...VALUES.map((value) =>
        el(
          "button",
          { type: "button", "aria-label": `Set the chosen weight to ${value}`, onclick: () => set(chosen, value) },
          written(value),
        ),
      ),
    ),
  );
  return { element, show };
}
