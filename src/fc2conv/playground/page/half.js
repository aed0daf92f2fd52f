// What the page's data hold as base64: bytes, 16-bit integers, and weights as 16-bit floats (IEEE 754 binary16), all
// little-endian.

/** @returns {Uint8Array} */
export function bytes(base64) {
  const text = atob(base64);
  const found = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) found[i] = text.charCodeAt(i);
  return found;
}

/** @returns {Uint16Array} */
export function shorts(base64) {
  const raw = bytes(base64);
  const found = new Uint16Array(raw.length / 2);
  for (let i = 0; i < found.length; i++) found[i] = raw[2 * i] | (raw[2 * i + 1] << 8);
  return found;
}

/** 2^(exponent - 15) / 1024: what the last bit of a number with that exponent is worth. */
const UNIT = Float32Array.from({ length: 32 }, (_, exponent) => 2 ** (Math.max(exponent, 1) - 25));

/** Floats of 16 bits: 1 of the sign, 5 of the exponent, 10 of the fraction. @returns {Float32Array} */
export function halves(base64) {
  const raw = shorts(base64);
  const found = new Float32Array(raw.length);
  for (let i = 0; i < raw.length; i++) {
    const exponent = (raw[i] >> 10) & 31;
    const fraction = raw[i] & 1023;
    let size = (exponent > 0 ? 1024 + fraction : fraction) * UNIT[exponent];
    if (exponent === 31) size = fraction === 0 ? Infinity : NaN;
    found[i] = raw[i] & 0x8000 ? -size : size;
  }
  return found;
}
