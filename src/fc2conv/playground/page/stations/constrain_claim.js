// What came out otherwise than claim 3 expected.

import { plural, signed } from "pages/format.js";

/**
 * What was refuted and what was not decided; empty where nothing was refuted, or the claim has not run.
 *
 * @param {?object} result of the claim `constraints`, as the payload holds it
 */
export function surprise(result) {
  const of = (verdict) => (result?.comparisons ?? []).filter((c) => c.verdict === verdict);
  const [refuted, open] = [of("refuted"), of("undecided")];
  if (!refuted.length) return "";
  const found = refuted.map((c) => `“${c.says}” (${signed(c.estimate)})`).join(" and ");
  const rest = open.length ? `; ${plural(open.length, "other comparison")} could not be decided` : "";
  return `Claim ${result.number} expects more: that the constraints gain accuracy. That came out otherwise for ${found}${rest}.`;
}
