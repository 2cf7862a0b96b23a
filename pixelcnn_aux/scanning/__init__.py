"""Deciding the pixels of images one after another, in NumPy or in a graph that is being traced.

There is a scan for each order in which networks decide pixels: `rows`, pixel by pixel; `diagonals`, all rows
at once; and `groups`. They evaluate each activation once, and are the same lines for arrays and for tensors:
what they carry is written by `arrays.written`, in place in both. `full` evaluates any network for each pixel.

Who decides the pixels is a decider (`deciders`): a draw, known pixels, or a decoder that reads them.
"""
