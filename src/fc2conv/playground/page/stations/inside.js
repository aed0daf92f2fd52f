import { layout } from "playground/layout.js";

export function station() {
  return layout({ lead: "To come.", stage: [], shows: "" });
}
