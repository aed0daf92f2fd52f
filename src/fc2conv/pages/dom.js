// Elements, made without ever parsing HTML: what comes from a run can only become text.

/**
 * An element.
 *
 * @param {string} tag
 * @param {object} attributes `class`, `aria-label`, ...; on* are listeners; true and false set or leave out
 * @param {...(Node|string|number|null)} children texts and elements; null is left out
 */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same in SVG. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Call `show` once, when the element comes near the window. */
export function whenSeen(element, show) {
  const observer = new IntersectionObserver(
    (entries) => {
      if (entries.some((entry) => entry.isIntersecting)) {
        observer.disconnect();
        show();
      }
    },
    { rootMargin: "300px" },
  );
  observer.observe(element);
}

/** A table: heads are texts, or {text, number}; cells are texts or elements. */
export function table(caption, heads, rows, attributes = {}) {
  const columns = heads.map((head) => (typeof head === "string" ? { text: head } : head));
  const kind = (i) => (columns[i].number ? "number" : null);
  return el(
    "table",
    attributes,
    el("caption", { class: "hidden" }, caption),
    el("thead", {}, el("tr", {}, ...columns.map((c, i) => el("th", { scope: "col", class: kind(i) }, c.text)))),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((cell, i) => el("td", { class: kind(i) }, cell))))),
  );
}
