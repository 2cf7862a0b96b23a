"""What the program `python -m pixelcnn_aux.client` does with a `Client`: pictures, and tables of bits."""

from typing import NamedTuple

import numpy as np

from pixelcnn_aux import data
from pixelcnn_aux.programs import pictures
from pixelcnn_aux.runs import disk


class Drawing(NamedTuple):
    """How images are drawn, and where the picture of them goes."""

    out: str  # a PNG file
    num: int
    seed: int
    log_scale_shift: float

    def check(self):
        """Raises ValueError where the picture could not be written: before anything is drawn."""
        disk.check_place("--out", self.out, (".png",))

    def inputs(self):
        """What every signature that draws takes: dict, seed int32 [num, 2], log_scale_shift float32 [num]."""
        return {
            "seed": np.array([(self.seed, index) for index in range(self.num)], np.int32),
            "log_scale_shift": np.full(self.num, self.log_scale_shift, np.float32),
        }

    def repeated(self, image):
        """[num, ...]: the same image for each draw."""
        return np.repeat(image[np.newaxis], self.num, axis=0)

    def write(self, client, tiles):
        """Writes the picture.

        Args:
          client: `Client`.
          tiles: list of lists of (factor name, image) one above the other.
        """
        specs = client.images()
        shown = [
            [pictures.shown(image, specs[name].num_values) for name, image in tile]
            for tile in tiles
        ]
        pictures.write(self.out, shown)
        print(f"Wrote {self.out}")


def sample(client, drawing):
    """Draws images: the picture has each above its auxiliary images."""
    drawn = client.predict("sample", **drawing.inputs())
    *auxiliaries, full = client.images()
    names = [full, *reversed(auxiliaries)]
    columns = [drawn["image"], *(drawn[name] for name in names[1:])]
    drawing.write(client, [list(zip(names, images)) for images in zip(*columns)])


def given(client, drawing, name, file):
    """Draws from an auxiliary image: the picture has the file's image, its auxiliary image, and the draws."""
    *auxiliaries, full = client.images()
    if name not in auxiliaries:
        raise ValueError(
            f"Expected an auxiliary image of {client.model}: {', '.join(auxiliaries) or 'it has none'}. "
            f"Received: {name!r}. Choose one of them, or another --model."
        )
    image = _read(client, file)
    [auxiliary] = client.predict("auxiliaries", image=image[np.newaxis])[name]
    drawn = client.predict(
        f"given_{name}", **drawing.inputs(), auxiliary=drawing.repeated(auxiliary)
    )
    draws = [[(full, draw)] for draw in drawn["image"]]
    drawing.write(client, [[(full, image)], [(name, auxiliary)], *draws])


def colorize(client, drawing, file):
    """Draws colors: `given` the grays of a file."""
    given(client, drawing, "grayscale", file)


def complete(client, drawing, file):
    """Draws lower halves: the picture has the file's image, what is kept of it, and the draws."""
    image = _read(client, file)
    mask = np.zeros((*image.shape[:2], 1), np.uint8)
    mask[: len(mask) // 2] = 1
    drawn = client.predict(
        "complete",
        **drawing.inputs(),
        image=drawing.repeated(image),
        mask=drawing.repeated(mask),
    )
    *_, full = client.images()
    masked = np.where(mask, image, np.uint8(127))
    drawing.write(client, [[(full, tile)] for tile in (image, masked, *drawn["image"])])


def bpd(client, *files):
    """Prints a line for each file, and one of means."""
    answer = client.predict("log_prob", image=np.stack([_read(client, file) for file in files]))
    names = list(client.images())
    columns = [*(answer[f"bits_per_dim_{name}"] for name in names), answer["bits_per_dim"]]
    width = max(map(len, [*files, "file"]))
    print(f"{'file':{width}}", *(f"{name:>16}" for name in [*names, "total"]))
    for label, *bits in [*zip(files, *columns), ("mean", *map(np.mean, columns))]:
        print(f"{label:{width}}", *(f"{value:16.4f}" for value in bits))


def _read(client, file):
    """uint8 [H, W, 3]: an image file, in the size of the model's full images.

    Raises ValueError for a model of other images than a file holds: what their pixels mean is not known.
    """
    *_, spec = client.images().values()
    if (spec.shape[-1], spec.num_values) != (3, 256):
        raise ValueError(
            f"Expected a model of color images, uint8 [H, W, 3] below 256, to read a file for. "
            f"Received: {client.model}, of uint8 {list(spec.shape)} below {spec.num_values}. "
            "Send it arrays with serving.client.Client."
        )
    return data.read_image(file, spec.shape[:2])
