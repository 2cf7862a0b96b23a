"""Models in TensorFlow Serving: what is served, how it is exported and verified, and a gRPC client.

The programs are `python -m pixelcnn_aux.export` and `python -m pixelcnn_aux.client`.
"""

import importlib.util

if importlib.util.find_spec("tensorflow_serving") is None:
    raise ImportError(
        "Expected the package tensorflow-serving-api, which has the messages of TensorFlow Serving. "
        "Received: no such package. Install it: pip install tensorflow-serving-api."
    )
