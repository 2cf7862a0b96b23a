"""A page in the browser, on this machine alone, that shows what models do: python -m pixelcnn_aux.demo."""
