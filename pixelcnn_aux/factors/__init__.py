"""Factors p(x | x_hat), of arrays and of Keras, and how they are checked and evaluated in batches.

`conditional` has their mathematics, `array_factor` and `factor` its two heirs. They may import networks,
scans, likelihoods and `base`.
"""
