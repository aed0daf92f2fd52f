// How much of a shift by one pixel is left after a pooling.

import { el } from "pages/dom.js";
import { windows } from "playground/layers.js";
import { raster } from "playground/raster.js";
import { choice } from "playground/stations/slide_controls.js";
import { EDGE, IMAGES } from "playground/stations/slide_images.js";

const SCALE = 14;
const MOST = 3; // pixels of a shift

/** The image `across` pixels to the right and `down` pixels down; zeros come in. */
function moved(values, down, across) {
  return values.map((_, at) => {
    const [i, j] = [Math.floor(at / EDGE) - down, (at % EDGE) - across];
    return i >= 0 && i < EDGE && j >= 0 && j < EDGE ? values[i * EDGE + j] : 0;
  });
}

const WAYS = {
  max: (pixels) => Math.max(...pixels),
  average: (pixels) => pixels.reduce((a, b) => a + b) / pixels.length,
};

/** Both images compared: {same, n} over the places where either is not 0. */
export function unchanged(before, after) {
  const places = [...before.keys()].filter((at) => before[at] !== 0 || after[at] !== 0);
  return { n: places.length, same: places.filter((at) => Math.abs(before[at] - after[at]) < 1e-6).length };
}

export function pool(page) {
  const state = { image: "block", kind: "max", size: 2, down: 0, across: 1 };
  const images = Object.entries(IMAGES).map(([key, [title]]) => [key, title]);
  const set =
    (key, read = String) =>
    (value) => {
      state[key] = read(value);
      show();
    };
  const sizes = [2, 3, 4].map((n) => [n, `${n}×${n}`]);
  const controls = [
    choice("Image", images, state.image, set("image"), "X"),
    choice(
      "Pooling",
      Object.keys(WAYS).map((kind) => [kind, kind === "max" ? "maximum" : kind]),
      state.kind,
      set("kind"),
    ),
    choice("Window and stride", sizes, state.size, set("size", Number)),
  ];
  const rows = el("div", { class: "shifts" });
  const said = el("p", { class: "answer", role: "status" });
  const place = el("span", {});
  const arrow = (text, label, down, across) =>
    el(
      "button",
      {
        type: "button",
        "aria-label": label,
        onclick: () => {
          const within = (n) => Math.min(MOST, Math.max(-MOST, n));
          [state.down, state.across] = [within(state.down + down), within(state.across + across)];
          show();
        },
      },
      text,
    );
  const arrows = el(
    "div",
    { class: "buttons", role: "group", "aria-label": "Shift the second image" },
    arrow("←", "Shift left", 0, -1),
    arrow("→", "Shift right", 0, 1),
    arrow("↑", "Shift up", -1, 0),
    arrow("↓", "Shift down", 1, 0),
    place,
  );

  function pooled(values) {
    const found = windows([EDGE, EDGE], { kernel_size: [state.size, state.size], stride: [state.size, state.size] });
    const output = new Float32Array(found.size[0] * found.size[1]);
    for (let p = 0; p < output.length; p++) {
      const seen = Array.from(found.pixels.subarray(p * found.taps, (p + 1) * found.taps), (pixel) => values[pixel]);
      output[p] = WAYS[state.kind](seen);
    }
    return { values: output, edge: found.size[0] };
  }

  function picture(values, edge, scale, label, others) {
    const shown = raster({ width: edge, height: edge, scale, label, caption: label });
    shown.paint(values, { low: 0, high: 1 });
    if (others) {
      const changed = [...values.keys()].filter((at) => Math.abs(values[at] - others[at]) >= 1e-6);
      shown.mark(changed.map((at) => ({ x: at % edge, y: Math.floor(at / edge), kind: "changed" })));
    }
    return shown.element;
  }

  function show() {
    const before = IMAGES[state.image][1](page.image.pixels);
    const after = moved(before, state.down, state.across);
    const [a, b] = [pooled(before), pooled(after)];
    const scale = SCALE * state.size;
    rows.replaceChildren(
      picture(before, EDGE, SCALE, "image"),
      picture(after, EDGE, SCALE, "shifted; framed: what changed", before),
      picture(a.values, a.edge, scale, "image, pooled"),
      picture(b.values, b.edge, scale, "shifted, pooled; framed: what changed", a.values),
    );
    const steps = [
      [state.across, "to the right", "to the left"],
      [state.down, "down", "up"],
    ];
    const words = steps.filter(([n]) => n).map(([n, plus, minus]) => `${Math.abs(n)} ${n > 0 ? plus : minus}`);
    place.textContent = words.length ? `${words.join(", ")}` : "not shifted";
    const [pixels, outputs] = [unchanged(before, after), unchanged(a.values, b.values)];
    said.replaceChildren(
      el("strong", {}, `${outputs.same} of ${outputs.n} outputs of the pooling stay the same`),
      `, and ${pixels.same} of ${pixels.n} pixels. Places that are black both times are not counted.`,
    );
  }

  page.onImage(show);
  show();
  return el(
    "div",
    { class: "pool" },
    el("div", { class: "settings" }, ...controls.map((c) => c.element)),
    arrows,
    rows,
    said,
  );
}
