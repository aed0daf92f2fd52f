// Builds the page: the header's links, and a section for each station. All stations share one current image.

import { announce } from "pages/announce.js";
import { el } from "pages/dom.js";
import { isDark, onTheme, setTheme } from "pages/theme.js";
import { lighting } from "playground/equation.js";
import { bytes } from "playground/half.js";
import { Network } from "playground/network.js";
import { station as constrain } from "playground/stations/constrain.js";
import { station as inside } from "playground/stations/inside.js";
import { station as shift } from "playground/stations/shift.js";
import { station as slide } from "playground/stations/slide.js";
import { station as train } from "playground/stations/train.js";

/** [id, title, what builds it] */
const STATIONS = [
  ["shift", "Shift it", shift],
  ["constrain", "Constrain it", constrain],
  ["slide", "Slide it", slide],
  ["inside", "Look inside", inside],
  ["train", "Train it", train],
];

const byId = (id) => document.getElementById(id);

/** The payload's images: [{pixels, label, name}]. */
function unpack({ shape, n, pixels, labels, classes }) {
  const size = shape.reduce((a, b) => a * b);
  const [all, classOf] = [bytes(pixels), bytes(labels)];
  return Array.from({ length: n }, (_, i) => ({
    pixels: all.subarray(i * size, (i + 1) * size),
    label: classOf[i],
    name: classes[classOf[i]],
  }));
}

/** What a station gets: the payload, the networks, and the image that all stations look at. */
class Playground {
  #listeners = [];

  constructor(data) {
    this.data = data;
    this.networks = data.networks.map((description) => new Network(description));
    this.rungs = data.rungs.map((description) => new Network(description));
    this.classes = data.images.classes;
    this.images = unpack(data.images);
    this.image = this.images[0];
    this.announce = announce;
  }

  /** @param {{pixels: Uint8Array, label: ?number, name: string}} image 28x28; label null: drawn by hand */
  setImage(image) {
    this.image = image;
    for (const listener of this.#listeners) listener(image);
  }

  /** Call `listener` with each new image. */
  onImage(listener) {
    this.#listeners.push(listener);
  }

  /** A claim's result, or null. */
  result(name) {
    return this.data.results[name] ?? null;
  }
}

/** The stations one after another; the page can be read and used while the next is built. */
async function build(page) {
  const sections = STATIONS.map(([id, title], i) => {
    const heading = el("h2", { id: `${id}-title`, tabindex: "-1" }, el("span", { class: "step" }, i + 1), title);
    byId("stations").append(el("a", { href: `#${id}`, onclick: (event) => go(event, heading) }, `${i + 1} ${title}`));
    return el("section", { id, "aria-labelledby": heading.id }, heading);
  });
  byId("main").append(...sections);
  const { version, command } = page.data.made;
  byId("made").append(el("p", { class: "soft" }, "Made by ", el("code", {}, command), ` (fc2conv ${version}).`));
  for (const [i, [, , station]] of STATIONS.entries()) {
    await new Promise((resolve) => setTimeout(resolve)); // lets the browser draw what is there
    sections[i].append(station(page));
    lighting(sections[i]);
  }
}

/** To a heading, without its name in the address. */
function go(event, heading) {
  event.preventDefault();
  heading.scrollIntoView();
  heading.focus({ preventScroll: true });
}

onTheme(() => {
  byId("theme").textContent = isDark() ? "Light" : "Dark";
  byId("theme").setAttribute("aria-label", isDark() ? "Show in light colours" : "Show in dark colours");
});
byId("theme").addEventListener("click", () => setTheme(isDark() ? "light" : "dark"));
byId("skip").addEventListener("click", (event) => go(event, byId("main")));

setTheme(null);
await build(new Playground(JSON.parse(byId("payload").textContent)));
document.documentElement.dataset.ready = "";
performance.mark("ready");
