"""A page in the browser, on this machine alone, that runs the models: pixelcnn-aux demo."""
