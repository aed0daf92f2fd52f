// The order that the switch of "Shift it" gives the pixels: one for every image. No DOM.

import { generator, shuffled } from "playground/random.js";

/**
 * For each network the order that its pixels get: order[p] is the pixel that moves to p.
 *
 * It is the one that the network was trained with; or that of another network of its size, so that all see the same;
 * or a random one.
 *
 * @param {object[]} networks
 * @returns {Uint16Array[]}
 */
export function orders(networks) {
  const known = new Map();
  const pixels = ({ input: [, height, width] }) => height * width;
  for (const network of networks) {
    if (network.permutation && !known.has(pixels(network))) known.set(pixels(network), network.permutation);
  }
  return networks.map((network) => {
    const n = pixels(network);
    if (!known.has(n)) known.set(n, shuffled(n, generator(0)));
    return network.permutation ?? known.get(n);
  });
}
