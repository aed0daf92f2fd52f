"""How the images of each world are made: one function a world, whose docstring says which networks it tells apart.

Every image is a torus: what leaves it on the right comes in on the left, and the noise in the background is the same
everywhere. A network with circular padding and a global average computes the same from an image and from that image
shifted by a multiple of its total stride (as long as the strides divide the image); most of the arguments rest on that.
All pixels are sums of whole numbers that stay within a byte: nothing is rounded or clipped, and every machine makes the
same images.

Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fc2conv.config.schema import DATASETS, DataConfig

Array = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]
Made = tuple[Array, Array]
"""Images (N, C, H, W) and labels (N,)."""

LEVELS = 64
"""Of noise: uniform on 0 to 63, a standard deviation of 18.5 grey levels. A power of two, which is drawn fastest."""
DARKEST = 96
"""Where the background begins: from 96 to 159."""
CONTRAST = 60
"""What a pattern adds to the background, and takes from it; what a line adds."""
EDGE = 7
"""Pixels on a pattern's side."""
QUADRANT = 16
STRIDE = 8
"""The largest total stride for which `position` and `border` keep their promises; so do its divisors."""
LINES = (3, 9, 15, 21, 27, 33, 39, 45, 51, 57)
"""For each class of `spectral`, the band that is brighter."""
DIRECTIONS = {"horizontal": (0, 1), "vertical": (1, 0), "falling": (1, 1), "rising": (-1, 1)}
"""For each class of `texture`, from a pixel to its relative: (down, right)."""


def _patterns(n: int) -> npt.NDArray[np.int8]:
    """(n, EDGE, EDGE) of -1, 0 and 1, the same for ever: as many ones as minus ones and a single 0 in each, so that
    neither the mean nor the histogram of an image tells which pattern it holds."""
    half = EDGE * EDGE // 2
    values = np.repeat(np.array([-1, 0, 1], np.int8), [half, 1, half])
    generator = np.random.default_rng(0)
    return np.stack([generator.permutation(values).reshape(EDGE, EDGE) for _ in range(n)])


PATTERNS = _patterns(10)


@dataclass(frozen=True)
class Sample:
    """What is asked of a generator: `n` images of `shape`, drawn by `random`.

    `fixed` gives the same draws for the training and the test set: for a rule that is drawn itself.
    """

    n: int
    shape: tuple[int, int, int]
    random: np.random.Generator
    fixed: np.random.Generator
    distance: int

    def noise(self) -> Array:
        return self.random.integers(0, LEVELS, (self.n, *self.shape), np.uint8)

    def background(self) -> Array:
        images = self.noise()
        images += DARKEST
        return images

    def labels(self, classes: int) -> Integers:
        """In turn, so that all classes have equally many images if `n` allows it."""
        return np.arange(self.n) % classes

    def places(self) -> Integers:
        """(2, n) rows and columns, uniform on the torus."""
        return self.random.integers(0, np.array(self.shape[1:])[:, None], (2, self.n))


def stamp(images: Array, patterns: npt.NDArray[np.int8], rows: Integers, columns: Integers) -> None:
    """Add a pattern to each image in place, its top left pixel at (row, column); it goes on at the opposite edge.

    (N, 1, H, W), (N or 1, EDGE, EDGE), (N,), (N,)
    """
    n, _, height, width = images.shape
    reach = np.arange(EDGE)
    at = (
        np.arange(n)[:, None, None],
        0,
        (rows[:, None] + reach)[:, :, None] % height,
        (columns[:, None] + reach)[:, None, :] % width,
    )
    images[at] = images[at] + np.int16(CONTRAST) * patterns


def anywhere(sample: Sample) -> Made:
    """Which of ten patterns, wherever it lies on the torus.

    A convolution learns each pattern once and finds it everywhere. A dense layer has to learn it at each of 1,024
    places, for which there are 0.4 training images a class. Each pixel has the same mean in every class, so that a
    linear classifier learns nothing.
    """
    labels = sample.labels(10)
    images = sample.background()
    stamp(images, PATTERNS[labels], *sample.places())
    return images, labels.astype(np.uint8)


def position(sample: Sample) -> Made:
    """In which quadrant the one pattern lies; its corner at offsets 1 to 8 in it, so that it touches no border of it.

    To shift an image by half of the torus leads from one class to another, and is a multiple of every total stride that
    divides 16: for such a network with circular padding and a global average, all classes look alike. Each class has
    the same offsets equally often, so that where the pattern lies in the strides' grid tells nothing either.
    """
    labels = sample.labels(4)
    turn = np.arange(sample.n) // 4 % STRIDE**2
    rows = QUADRANT * (labels // 2) + 1 + turn // STRIDE
    columns = QUADRANT * (labels % 2) + 1 + turn % STRIDE
    images = sample.background()
    stamp(images, PATTERNS[:1], rows, columns)
    return images, labels.astype(np.uint8)


def border(sample: Sample) -> Made:
    """Whether the one pattern touches the top or the left edge; its corner is at multiples of 8 pixels.

    On the torus an edge is a place like any other. All places are multiples of the total stride apart, so that only
    what padding (or the lack of it) adds at the border tells the classes apart. At the bottom and at the right, a row
    and a column stay free of patterns.
    """
    labels = sample.labels(2)
    grid = np.arange(0, sample.shape[1], STRIDE)
    corners = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1).reshape(-1, 2)
    touches = (corners == 0).any(1)
    turn = np.arange(sample.n) // 2
    inside, outside = corners[~touches], corners[touches]
    chosen = np.where((labels == 1)[:, None], outside[turn % len(outside)], inside[turn % len(inside)])
    images = sample.background()
    stamp(images, PATTERNS[:1], chosen[:, 0], chosen[:, 1])
    return images, labels.astype(np.uint8)


def texture(sample: Sample) -> Made:
    """In which of four directions neighbours resemble each other: the sum of two noises, one a step behind the other.

    The correlation is 1/2 between neighbours in that direction and 0 between all other pixels. A single pixel has the
    same distribution in each class, and so has the sum, over an image, of any function of single pixels: 1x1
    convolutions with a global average are at chance. In a fixed shuffled order, small shared windows seldom hold two
    relatives. A 3x3 window on the image as it is suffices.

    The classes' means are equal, which was thought to leave a linear classifier at chance. Their covariances differ,
    and so does the spread of its outputs: softmax regression came out at .26 to .28 over four seeds.
    """
    labels = sample.labels(4)
    noise = sample.noise()
    images = noise + np.uint8(LEVELS)
    for label, (down, right) in enumerate(DIRECTIONS.values()):
        of_class = labels == label
        images[of_class] += np.roll(noise[of_class], (down, right), axis=(2, 3))
    return images, labels.astype(np.uint8)


def spectral(sample: Sample) -> Made:
    """Which of ten bands out of 64 is brighter, in every pixel: the spectrum of what the image shows.

    There is nothing to see but the spectrum of a pixel, so 1x1 convolutions suffice. The mean over the bands has the
    same distribution in all classes: in grey the images are alike. Averaged to b bands, classes are alike whose lines
    fall into the same one: with three, three of ten classes can be told, whatever is learned.
    """
    labels = sample.labels(10)
    images = sample.background()
    for label, band in enumerate(LINES):
        images[labels == label, band] += CONTRAST
    return images, labels.astype(np.uint8)


def tabular(sample: Sample) -> Made:
    """On which side of a random hyperplane the pixels lie, which are independent and uniform: a table, not an image.

    Neighbours have nothing in common and every place has a weight of its own, so that locality and sharing are both
    wrong. The teacher's weights add up to 0, so that brightness tells nothing. The order of the pixels means nothing
    either: permuted images are as hard for every network.
    """
    pixels = sample.shape[1] * sample.shape[2]
    half = sample.fixed.integers(1, 101, pixels // 2)
    teacher = sample.fixed.permutation(np.concatenate([half, -half]))
    images = sample.random.integers(0, 256, (2 * sample.n, *sample.shape), np.uint8)
    labels = (2 * images.reshape(-1, pixels).astype(np.int64) - 255) @ teacher > 0
    # the first that make both classes equal; there are twice as many as that takes
    kept = np.sort(np.concatenate([np.flatnonzero(labels == c)[: sample.n // 2] for c in (False, True)]))
    return images[kept], labels[kept].astype(np.uint8)


def order(sample: Sample) -> Made:
    """Whether pattern A lies to the left or to the right of pattern B, `distance` pixels away in the same rows.

    Both are in every image, uniformly placed, so that a unit that sees one of them at a time learns nothing. It sees a
    part of both from a receptive field of distance - 5 pixels on, and both whole from distance + 7; the torus is so
    wide that no one sees them the other way round. Up to distance - 6 pixels a global average has the same mean in both
    classes, and exactly the same distribution if twice the receptive field is less than distance - 4, so that no noise
    between the patterns is seen by units of both.
    """
    labels = sample.labels(2)
    rows, columns = sample.places()
    images = sample.background()
    stamp(images, PATTERNS[:1], rows, columns)
    stamp(images, PATTERNS[1:2], rows, columns + np.where(labels == 0, sample.distance, -sample.distance))
    return images, labels.astype(np.uint8)


GENERATORS: dict[str, tuple[Callable[[Sample], Made], list[str]]] = {
    "world_anywhere": (anywhere, [f"pattern {i}" for i in range(len(PATTERNS))]),
    "world_position": (position, ["top left", "top right", "bottom left", "bottom right"]),
    "world_border": (border, ["inside", "at the edge"]),
    "world_texture": (texture, list(DIRECTIONS)),
    "world_spectral": (spectral, [f"band {band}" for band in LINES]),
    "world_tabular": (tabular, ["negative", "positive"]),
    "world_order": (order, ["A B", "B A"]),
}
"""World -> what makes it, and the names of its classes."""


def generate(config: DataConfig) -> tuple[dict[str, Array], list[str]]:
    """A world as data.seed draws it: train_images, train_labels, test_images, test_labels; and its classes' names."""
    make, classes = GENERATORS[config.name]
    info = DATASETS[config.name]
    arrays = {}
    for stream, (split, n) in enumerate({"train": info.train, "test": info.test}.items()):
        random, fixed = (np.random.default_rng((config.known_seed, s)) for s in (stream, 2))
        sample = Sample(n, info.shape, random, fixed, config.distance)
        arrays[f"{split}_images"], arrays[f"{split}_labels"] = make(sample)
    return arrays, classes
