"""TensorFlow Serving: exports models, verifies them, and calls them through a gRPC client.

The programs are `pixelcnn-aux export` and `pixelcnn-aux client`.
"""
