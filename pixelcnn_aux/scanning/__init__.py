"""Scans, which decide the pixels of images one after another, in NumPy or in a graph that is being traced.

Each order of decisions has a scan: `rows`, pixel by pixel; `diagonals`, all rows at once; and `groups`. They
evaluate each activation once. The same code serves arrays and tensors: `arrays.written` updates state in
place in both. `full` evaluates any network anew for each pixel.

A decider (`deciders`) chooses the values of pixels: it draws them, takes known ones, or decodes them.
"""
