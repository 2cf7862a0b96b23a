"""Factors p(x | x_hat): descriptions and their weights, and the Keras models that train them.

`factor` has their mathematics, `keras_factor` the models. `checks` and `causality` validate their parts, and
`weight_rounding` rounds their weights. They may import networks, scans, likelihoods, transforms and `base`.
"""
