"""Factors p(x | x_hat): of arrays, and of Keras for training.

`conditional` has their mathematics; `array_factor`, `factor` and `rounded_factor` have its subclasses.
`checks` and `causality` validate their parts. They may import networks, scans, layers, likelihoods,
transforms and `base`.
"""
