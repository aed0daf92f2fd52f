// Station 3: a kernel slides over an image.

import { entry, equation, index, op, sum, sym } from "playground/equation.js";
import { guess } from "playground/guess.js";
import { layout } from "playground/layout.js";
import { bench } from "playground/stations/slide_bench.js";
import { flip } from "playground/stations/slide_flip.js";
import { learn } from "playground/stations/slide_learn.js";
import { pointwise } from "playground/stations/slide_pointwise.js";
import { pool } from "playground/stations/slide_pool.js";
import { tabs } from "playground/tabs.js";
import { verdict } from "playground/verdict.js";

const LABEL = "H at i, j is u plus the sum over a and b of V at a, b times X at i plus a, j plus b";
/** The places light up in both directions at once. */
const BOTH = { j: "i", b: "a" };

const convolution = () =>
  equation(
    LABEL,
    [
      entry("H", "i,j", BOTH),
      op("="),
      sym("u"),
      op("+"),
      sum(...index("a,b", BOTH)),
      entry("V", "a,b", BOTH),
      entry("X", "i+a,j+b", BOTH),
    ],
    {
      H: "output",
      u: "bias",
      V: "kernel",
      X: "image",
      i: ["i, j", "place in the output"],
      a: ["a, b", "place in the kernel"],
    },
  );

const QUESTION = {
  question: "A 3×3 kernel slides over a 14×14 image, one pixel at a time, without padding. How large is the output?",
  answers: ["14×14: one output for each pixel", "13×13", "12×12", "11×11"],
  right: 2,
  because:
    "Along each side the window has 14 − 3 + 1 = 12 places, because it must not stick out. Padding gives the lost border back.",
};

const PARTS = (page) => [
  {
    title: "Slide",
    says: "Lay the kernel on a window of the image, multiply what lies on each other, add it up: that is one output pixel. Then move on.",
    tries: [
      "Press Play, and watch the output come about, one pixel after another.",
      "Choose the padding same: the output is as large as the image now. Point at a corner of X: four outputs read it, where one did before.",
      "Choose the picture of the garment, moved: the output moves along. At a stride of 2 it does not.",
    ],
    build: () => bench(page),
  },
  {
    title: "Flip",
    says: "What networks call convolution is cross-correlation. Mathematics flips the kernel first; a network that learns its kernel learns it flipped.",
    build: () => flip(page),
  },
  {
    title: "Learn",
    says: "Nobody has to write a kernel down. From an image and its edges, gradient descent finds the two weights.",
    build: () => learn(page),
  },
  {
    title: "1×1",
    says: "A kernel of one pixel sees no neighbours. It is a small fully connected layer that every pixel's channels go through.",
    build: () => pointwise(page),
  },
  {
    title: "Pool",
    says: "A pooling keeps one number of each window. Shift the image by one pixel and see how much of the output changes.",
    build: () => pool(page),
  },
];

export function station(page) {
  return layout({
    lead: "A convolution uses the same few weights at every place of the image.",
    equation: convolution(),
    guess: guess(QUESTION),
    stage: [tabs("Parts of this station", PARTS(page))],
    shows:
      "Kernel, padding, stride and dilation decide how large the output is; kernel and channels alone decide how many " +
      "weights there are. Padding decides whether the image shrinks, and how often the pixels at its border are read: " +
      "without it a kernel of 3×3 reads a corner once, and a pixel in the middle nine times. It adds no weights. " +
      "Where the image moves, the output moves with it; pooling then forgets a part of the movement, not all of it.",
    verdicts: ["equivariance", "padding", "pooling"].map((name) => verdict(page.result(name))),
  });
}
