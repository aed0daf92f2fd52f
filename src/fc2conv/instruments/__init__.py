"""Measurements on a trained network: what its layers keep of locality, weight sharing and equivariance.

Each file is one instrument and works alone, on a Classifier or any torch module (B, C, H, W) -> (B, classes), which it
leaves as it was:

    equivariance      whether a layer's response moves with the image
    shift             predictions for images that are moved by some pixels
    receptive_field   what a unit can see, and how much each pixel counts for it
    matrix            a convolution as the dense matrix that it is
    release           constraints released and imposed, with trained weights
    structure         how local and how shift-invariant the weights of a dense layer are
    correlation       convolution and cross-correlation
    neighbours        how much a pixel says of its neighbours
    filters           the first layer's weights, as images
    features          the maps that its convolutions make of some images

`inspection.inspect` runs them all.

Example:
    >>> from fc2conv import Classifier
    >>> from fc2conv.instruments.equivariance import equivariance
    >>> net = Classifier.load("runs/NAME/checkpoints/best.ckpt")  # doctest: +SKIP
    >>> equivariance(net, images, [(0, 1), (0, 2)]).error("conv1", (0, 1))  # doctest: +SKIP
"""
