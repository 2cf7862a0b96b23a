"""Models in TensorFlow Serving: what is served, how it is exported and verified, and a gRPC client.

The programs are `pixelcnn-aux export` and `pixelcnn-aux client`.
"""
