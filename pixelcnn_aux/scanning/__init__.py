"""Deciding the pixels of an image one after another, in a graph that is being traced.

A scan evaluates a network pixel by pixel: `full.FullScan`, or TensorFlow's `incremental.IncrementalScan`,
every activation once; or group by group: `groups.GroupScan`. It asks a decider (`groups`), and has one
method:

    decide_each_pixel(features, decider)

    features: list of float [B, h, w, F], the embedding of the auxiliary images; empty where there are none.
    returns int32 [B, H, W, C].

Outside of graphs, `engine` decides pixels in NumPy, and asks the same deciders.
"""
