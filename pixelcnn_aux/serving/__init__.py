"""TensorFlow Serving: exports of models, their signatures and verification, and a gRPC client.

The programs are `pixelcnn-aux export` and `pixelcnn-aux client`.
"""
