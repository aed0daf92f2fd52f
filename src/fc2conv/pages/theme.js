// Light or dark: what the system says, until the reader says otherwise.

const system = matchMedia("(prefers-color-scheme: dark)");
const listeners = [];

export const isDark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";

/** @param {"light"|"dark"|null} theme null: the system's */
export function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  changed();
}

/** Call `listener` whenever the colours change. */
export const onTheme = (listener) => listeners.push(listener);

/** The value of a colour of base.css in the present theme, e.g. colour("--ink"). */
export function colour(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

function changed() {
  document.documentElement.classList.toggle("dark", isDark());
  for (const listener of listeners) listener();
}

system.addEventListener("change", changed);
