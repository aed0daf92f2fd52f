"""Measurements on a trained network: what its layers keep of locality, weight sharing and equivariance."""
