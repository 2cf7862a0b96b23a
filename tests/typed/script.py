"""What a user writes, of which type checkers have nothing to say: the public API as README.md has it."""

from typing import Any, assert_type

import keras
import numpy as np
from keras import ops

import pixelcnn_aux as pa
from pixelcnn_aux.networks import topology

images = pa.data.load("photos", "test").take(range(4))
model = pa.load("cifar10-pyramid", dtype="float64")
pushed: str = pa.push(model, "hf://me/mine", license="mit")
assert_type(model, pa.AuxiliaryModel)
assert_type(pa.data.from_arrays(images).image_size, tuple[int, int] | None)
assert_type(pa.data.read_image("photo.png", [32, 32]), np.ndarray)

bits = model.bits_per_dim(images)
assert_type(bits, dict[str, Any])
print(bits["total"].mean(), model.log_prob(images).sum(), model.exact, model.with_exact(False))
seeds = [[0, k] for k in range(len(images))]
drawn = model.sample(seeds, log_scale_shift=-0.5, mode="map")["32x32"]
halves = model.auxiliaries(images)["16x16"]
mask = np.zeros([4, 32, 32, 1], np.uint8)
model.sample(seeds, given={"16x16": halves})
model.sample(np.array(seeds), known=images, mask=mask, jit_compile=True)
pa.load("cifar10-grayscale").colorize(images, mode="map")

factor = model.factors["32x32"]
assert_type(factor, pa.Factor)
factor.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
factor.fit((images, halves), images, epochs=2)
factor.save("factor.keras")
print(factor.params(images, halves, method="incremental").shape, factor.features(halves)[0].shape)
print(factor.num_parameters + 1, factor.exact, factor.likelihood.num_params + 1)


@keras.saving.register_keras_serializable(package="mine")
class Red(pa.auxiliary.Transform):
    name = "red"
    channels = 1
    num_values = 8

    def __init__(self, bits: int = 3):
        self.num_values = 2**bits

    def __call__(self, images: Any) -> Any:
        return ops.cast(images[..., :1] // (256 // self.num_values), "uint8")

    def likelihood(self) -> pa.likelihoods.Likelihood:
        return pa.likelihoods.Categorical(self.num_values)


@pa.data.register("noise")
def noise(split: str, image_size: tuple[int, int]) -> pa.data.Images:
    return pa.data.from_arrays(np.random.default_rng().integers(0, 256, [9, *image_size, 3]))


network = {"topology": topology.pixelcnn_pp(1, 2), "filters": 8, "dropout": 0.5}
chained = pa.chain(
    [Red(), pa.auxiliary.HalfResolution()], (8, 8), network, embedding=[None, network, network]
)
assert_type(chained, pa.AuxiliaryModel)
for built in (
    pa.grayscale((8, 8), filters=8, bits=3),
    pa.pyramid((16, 16), (4, 4), filters=[8, 8, 16], exact=False),
    pa.grayscale_pyramid([16, 16], image_filters=8),
    pa.pixelcnn_pp(filters=8, dtype="float64"),
    pa.interop.openai_pixelcnn_pp(dict(pa.interop.read_variables("variables.npz"))),
    pa.interop.authors_pyramid({"Resnet/scale0/conv_last/V": np.zeros([1, 1, 8, 100])}),
):
    print(built.sizes()["image"][0] + 1, [transform.ratio for transform in built.transforms])

training = pa.Training(epochs=2, steps_per_epoch=100, batch_size=16, learning_rate=2e-3)
photos = pa.data.load("folder", "train", (8, 8), image_dir="photographs")
pa.train(chained, training, photos, images, "runs/mine", factors=["red"], seed=1, init="runs/other")
callbacks = [keras.callbacks.CSVLogger("log.csv")]
pa.train(
    chained, dict.fromkeys(chained.factors, training), images, images, "r", callbacks=callbacks
)
pa.train(pa.grayscale(), pa.presets.GRAYSCALE["demo"], images, images, "runs/gray")

codec = pa.codec.Codec(model, batch=16)
assert_type(codec.compress(images), bytes)
assert_type(codec.decompress(codec.compress(images)), np.ndarray | list[np.ndarray])
for name, card in pa.pretrained().items():
    print(name.upper(), card["bits_per_dim"])

head = pa.likelihoods.LogisticMixture(num_components=5)
params = np.zeros([4, 32, 32, head.num_params], np.float32)
print(head.log_prob(params, images).sum(), pa.__version__.split("."))
