"""Factors p(x | x_hat): of arrays, and of Keras, which are trained.

`conditional` has their mathematics; `array_factor`, `factor` and `rounded_factor` are its heirs. `checks` and
`causality` try their parts. They may import networks, scans, layers, likelihoods, transforms and `base`.
"""
