"""Models in TensorFlow Serving: what is served, how it is exported and verified, and a gRPC client.

The programs are `python -m pixelcnn_aux.export` and `python -m pixelcnn_aux.client`.
"""
