// The image that all stations look at: a garment of the test set, or one drawn by hand.

import { el } from "pages/dom.js";
import { pen } from "playground/pen.js";

const SHOWN = 30;

let made = 0;

/** A small canvas with an image of 28x28 on it. */
export function thumbnail(pixels, size = 28) {
  const canvas = el("canvas", { width: size, height: size, class: "thumbnail", "aria-hidden": "true" });
  paintThumbnail(canvas, pixels);
  return canvas;
}

function paintThumbnail(canvas, pixels) {
  const picture = new ImageData(canvas.width, canvas.height);
  const { data } = picture;
  for (let i = 0; i < pixels.length; i++) {
    data[4 * i] = data[4 * i + 1] = data[4 * i + 2] = pixels[i];
    data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

/**
 * A control for page.image: it shows which it is, and opens to choose another or to draw one.
 *
 * @param page as main.js makes it
 */
export function picker(page) {
  made += 1;
  const name = `image${made}`;
  const shown = thumbnail(page.image.pixels);
  const title = el("strong", {});
  const grid = el("div", { class: "garments", role: "radiogroup", "aria-label": "Garments of the test set" });
  let first = 0;
  let isOwn = false; // the change comes from this picker's pad

  function fill() {
    const entries = page.images.slice(first, first + SHOWN);
    grid.replaceChildren(
      ...entries.map((image, i) =>
        el(
          "label",
          { title: image.name },
          el("input", {
            type: "radio",
            name,
            "aria-label": `${image.name}, number ${first + i + 1}`,
            checked: image === page.image,
            onchange: () => page.setImage(image),
          }),
          thumbnail(image.pixels),
        ),
      ),
    );
  }

  const more = el(
    "button",
    {
      type: "button",
      onclick: () => {
        first = first + SHOWN < page.images.length ? first + SHOWN : 0;
        fill();
        page.announce(`Garments ${first + 1} to ${Math.min(first + SHOWN, page.images.length)}`);
      },
    },
    "Other garments",
  );
  const pad = pen((pixels) => {
    isOwn = true;
    page.setImage({ pixels, label: null, name: "your drawing" });
    isOwn = false;
  });
  const copy = el("button", { type: "button", onclick: () => pad.load(page.image.pixels) }, "Start from this garment");
  pad.element.querySelector(".buttons").append(copy);

  function show(image) {
    paintThumbnail(shown, image.pixels);
    title.textContent = image.name;
    if (image.label === null && !isOwn) pad.load(image.pixels);
    for (const [i, radio] of [...grid.querySelectorAll("input")].entries()) {
      radio.checked = page.images[first + i] === image;
    }
  }

  page.onImage(show);
  show(page.image);
  return el(
    "details",
    { class: "picker", ontoggle: () => grid.childElementCount || fill() },
    el("summary", {}, shown, el("span", {}, "Image: ", title), el("span", { class: "hint" }, "choose or draw")),
    el("div", { class: "choice" }, el("div", {}, grid, more), pad.element),
  );
}
