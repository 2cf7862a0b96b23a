"""What tests and benchmarks of served models share: a server, and the loader that TensorFlow Serving has."""
