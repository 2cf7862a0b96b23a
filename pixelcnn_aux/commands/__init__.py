"""The sub-commands of `pixelcnn-aux`, one module each; `program` runs them."""
