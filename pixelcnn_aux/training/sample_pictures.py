"""Pictures of a factor's samples after each epoch of training, as files and for TensorBoard.

The noise is a function of the run's seed and does not affect training.
"""

import time

import numpy as np
from absl import logging
from PIL import Image

from pixelcnn_aux import image_grid, sampling
from pixelcnn_aux.base import backend, disk
from pixelcnn_aux.scanning.requests import DrawRequest

if backend.NAME == "tensorflow":
    import tensorflow as tf

NUM = 8
MAX_SHARE = 0.05  # of the time since training began
_FIRST = 1.0  # seconds, the estimated cost of the first picture


class Samples:
    """Draws from a `TrainingState`'s averaged weights by fixed seeds, in `MAX_SHARE` of the time."""

    def __init__(self, state):
        self._state, self._writer = state, None
        self._began, self._spent = time.monotonic(), 0.0
        self._said = self._failed = False

    def draw(self, epoch):
        """Writes an epoch's picture unless it takes too much time; after an error, no more."""
        if self._failed:
            return
        start = time.monotonic()
        if (self._spent or _FIRST) > MAX_SHARE * (start - self._began):
            if not self._said:
                share = f"{MAX_SHARE:.0%}"
                print(f"No samples this time: they take {share} of all time at most", flush=True)
            self._said = True
            return
        try:
            self._write(self.picture(), epoch)
        except Exception as error:  # a registered likelihood may raise any
            message = "Expected to draw samples of factor %r. Received: %s: %s. Training continues without."
            logging.warning(message, self._state.name, type(error).__name__, error)
            self._failed = True
        self._spent += time.monotonic() - start

    def picture(self):
        """Samples, below validation images and auxiliary images if the factor has one: uint8 [H, W, 3]."""
        state, model, factor = self._state, self._state.config.model, self._state.average
        images = state.validation_images
        indices = images.spread_indices(NUM)
        condition = images.condition(model.condition, indices)
        image, auxiliary, condition = model.inputs(images.take(indices), condition)[state.name]
        count = NUM if auxiliary is None and condition is None else len(image)
        seeds = np.array([[state.seed, index] for index in range(count)], np.int32)
        options = {"size": tuple(image.shape[1:3]), "auxiliary": auxiliary}
        request = DrawRequest(seeds, np.zeros(count, np.float32), condition, **options)
        num_values = factor.likelihood.num_values
        rows = [image_grid.to_rgb(sampling.draw_factor(model, factor, request), num_values)]
        if auxiliary is not None:
            below = image_grid.to_rgb(auxiliary, factor.auxiliary_likelihood.num_values)
            rows = [image_grid.to_rgb(image, num_values), below, *rows]
        return image_grid.grid([*zip(*rows)], count)

    def _write(self, picture, epoch):
        folder = self._state.folder
        folder.samples.mkdir(exist_ok=True)
        file = folder.samples / f"epoch-{epoch:04}.png"
        with disk.replacing(file, disk.RESUME) as opened:
            Image.fromarray(picture).save(opened, "PNG")
        if backend.NAME != "tensorflow":
            return
        if self._writer is None:
            self._writer = tf.summary.create_file_writer(str(folder.logs / "samples"))
        with self._writer.as_default(self._state.step):
            tf.summary.image("samples", picture[None])
        self._writer.flush()
