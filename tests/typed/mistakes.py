"""Mistakes that type checkers have to find: they report each comment here that nothing needs."""

import numpy as np

import pixelcnn_aux as pa

images = np.zeros([4, 32, 32, 3], np.uint8)
model = pa.load("cifar10-pyramid")
pa.load(3)  # type: ignore[arg-type]
print(model.nothing)  # type: ignore[attr-defined]
model.bits_per_dim()  # type: ignore[call-arg]
model.sample([[0, 0]], temperature=0.5)  # type: ignore[call-arg]
model.sample("four")  # type: ignore[arg-type]
model.sample(None)  # type: ignore[arg-type]
model.sample([[0, 0]], given=images)  # type: ignore[arg-type]
pa.grayscale("32x32", filters="many")  # type: ignore[arg-type]
pa.chain([pa.auxiliary.Gray()], (8, 8), {}, embedding={})  # type: ignore[attr-defined]
pa.chain([pa.auxiliary.Grayscale], (8, 8), {}, embedding={})  # type: ignore[list-item]
pa.Training(epochs=1, steps_per_epoch=1, batch_size=1)  # type: ignore[call-arg]
pa.train(model, None, images, images, "runs/mine")  # type: ignore[arg-type]
pa.codec.Codec("cifar10-pyramid")  # type: ignore[arg-type]
pa.data.load("photos").take([0])  # type: ignore[call-arg]
print(pa.nothing)  # type: ignore[attr-defined]
