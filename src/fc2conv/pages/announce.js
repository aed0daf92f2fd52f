/** Say a change to those who hear the page. */
export function announce(text) {
  document.getElementById("said").textContent = text;
}
