"""A chain with a custom auxiliary variable, in one file: python -m examples.opponent.

After training, draw images as usual: pixelcnn-aux sample --plugin examples.opponent.
"""

import keras
from keras import ops

import pixelcnn_aux as pa
from pixelcnn_aux.commands import train
from pixelcnn_aux.networks import topology


@keras.saving.register_keras_serializable(package="examples")
class Opponent(pa.auxiliary.Transform):
    """Opponent colors: red against green and yellow against blue, in five steps each."""

    channels = 2
    num_values = 5

    def __call__(self, images):
        r, g, b = ops.unstack(ops.cast(images, "int32"), num=3, axis=-1)
        planes = ops.stack([r - g, (r + g) // 2 - b], axis=-1)  # -255 .. 255
        return ops.cast((planes + 255) * self.num_values // 511, "uint8")


def opponent(filters):
    network = {"topology": topology.pixelcnn_pp(1, 2), "filters": filters, "dropout": 0.5}
    return pa.chain([Opponent()], (32, 32), network, embedding=network)


TRAINING = {
    "opponent": pa.Training(epochs=6, steps_per_epoch=100, batch_size=16, learning_rate=2e-3),
    "image": pa.Training(epochs=12, steps_per_epoch=100, batch_size=16, learning_rate=2e-3),
}
pa.presets.BY_MODEL["opponent"] = {
    "demo": pa.presets.Preset(
        dataset="photos", constructor=opponent, model={"filters": 24}, training=TRAINING
    )
}

if __name__ == "__main__":
    train.start("opponent")
