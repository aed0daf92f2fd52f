"""The constraint ladder of D2L 7.1: from fully connected to convolution, one constraint at a time.

For an n x n image and one map, with a bias for each hidden unit until it is shared:

    dense    n^4 + n^2                           H[i,j] = U[i,j] + sum over all pixels W[i,j,k,l] X[k,l]
    local    (n(2D+1) - D(D+1))^2 + n^2          the same, |k-i| <= D and |l-j| <= D only
    shared   (2n-1)^2 + 1                        W[i,j,k,l] = V[k-i, l-j] and U[i,j] = u
    conv     (2D+1)^2 + 1                        both
"""

from fc2conv.config import LadderConfig
from fc2conv.geometry import ActivationLayer, Conv, DenseImage, Flatten, Layer, Linear, Local, SharedImage


def ladder(config: LadderConfig, classes: int) -> list[Layer]:
    """One hidden layer of image-shaped units under `constraint`, then a linear head."""
    c, d = config.channels, config.half_width
    hidden: Layer = {
        "dense": DenseImage("hidden", c),
        "local": Local("hidden", c, d),
        "shared": SharedImage("hidden", c),
        "conv": Conv("hidden", c, 2 * d + 1, padding=d),
    }[config.constraint]
    return [
        hidden,
        ActivationLayer(config.activation, config.activation),
        Flatten("flatten"),
        Linear("output", classes),
    ]
