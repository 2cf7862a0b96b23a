"""Models in TensorFlow Serving: what is served, how it is exported and verified, and a client for it.

`export` writes the SavedModel of a run with the functions of `signatures`, after `verify` has compared it
with the model. `client` asks a server for them by `protocols`, and `answers` checks what it says. The
programs are `python -m pixelcnn_aux.export` and `python -m pixelcnn_aux.client`.
"""
