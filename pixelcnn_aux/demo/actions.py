"""Actions behind the page's buttons, without Gradio.

Each is a function of `report`, which takes a `Step` whenever there is news, of `Models` and of its inputs.
"""

import contextlib
import functools
import math
import operator
import re
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

import pixelcnn_aux as pa
from pixelcnn_aux import data, sampling
from pixelcnn_aux.base import arguments, serialization
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.base.resizing import fit, resize
from pixelcnn_aux.codec import Codec, container, lossless_files
from pixelcnn_aux.conditions import Classes, Condition
from pixelcnn_aux.demo import uploads
from pixelcnn_aux.image_grid import to_rgb
from pixelcnn_aux.run_files import trained
from pixelcnn_aux.run_files.folder import RunFolder
from pixelcnn_aux.sampling import draw_and_score
from pixelcnn_aux.scanning.requests import DrawRequest

PERIOD = 0.5  # seconds between updates of the page
IMAGES = 4  # drawn at once from scratch
DRAWS = 3  # per picture
SIDE = 64  # of images drawn by a model of any image size
SHIFTS = (-2.0, 0.5)  # of log-scales: below, draws hardly vary; above, they are noise
MAX_SEED = 2**31 - 1
# Pixels drawn within seconds: by a model of any image size; and by others, or scored.
WHOLE, FEW = 2**18, 2**14

ENLARGEMENTS = {"twice as large": 2, "four times as large": 4}
COLORS = "colored"
# Default models of the tabs, and the best-looking shifts of log-scales.
REDRAWS = {**dict.fromkeys(ENLARGEMENTS, ("photographs", -0.5)), COLORS: ("cifar10-grayscale", 0)}
COMPLETES, SCENES, PARTICLES = "photographs", "cifar10-pixelcnn", 64
COMPRESSES = "photographs"

BITS = "bits per color value"  # bits per dimension
_MAGMA = (0, 0, 4), (81, 18, 124), (183, 55, 121), (252, 137, 97), (252, 253, 191)
_BLUE_TO_RED = (5, 48, 97), (107, 172, 209), (247, 247, 247), (228, 128, 101), (103, 0, 31)
SCORES = {
    "bits": "bits",
    "bits_less_entropy": "bits less their entropy",
    "bits_less_png": "bits less those of PNG",
    "bits_less_webp": "bits less those of WebP",
    "bits_less_jpeg_xl": "bits less those of JPEG XL",
    "bound_less_exact": "the bound less the exact figure",
}


class Table(NamedTuple):
    """A table of strings: column heads, and rows that begin with their name."""

    caption: str
    head: list[str]
    rows: list[list[str]]


class Step(NamedTuple):
    """An action's progress, and its results so far."""

    text: str
    share: float | None = None  # of the work, from 0 to 1; None when done
    images: tuple[tuple[Any, str], ...] = ()  # uint8 [h, w, 3] of any size, with captions
    pair: tuple[Any, Any] | None = None  # two images of the same size, to compare
    tables: tuple[Table, ...] = ()
    file: bytes | None = None  # to download


class Models:
    """The package's trained models and the runs `workdirs`, each loaded on first use and cached."""

    def __init__(self, workdirs=()):
        self._runs = {x: RunFolder(trained.find(x)) for x in [*trained.pretrained(), *workdirs]}
        self._configs = {name: run.config() for name, run in self._runs.items()}
        self.names = list(self._runs)
        kinds = {x: {factor["class_name"] for factor in self._factors(x)} for x in self.names}
        self.rounded_names = [x for x in kinds if kinds[x] == {"RoundedFactor"}]  # can compress
        self.load = functools.cache(self._load)
        self.exact = functools.cache(lambda name: self.load(name).with_exact(True))
        self.codec = functools.cache(lambda name: Codec(self.load(name), self._runs[name].name))

    def _load(self, name):
        return pa.load(self._runs[arguments.choice("the model", name, self.names)].path)

    def _factors(self, name):
        return self._configs[name]["model"]["config"]["factors"]

    def classes(self, name):
        """(name, label) of each class of a model, without loading it; [] if unconditional."""
        condition = self._factors(name)[0]["config"].get("condition")
        condition = serialization.deserialize(condition, Condition)
        if not isinstance(condition, Classes):
            return []
        names = data.class_names(self._configs[name].get("dataset"), condition.num_classes)
        return [(text, label) for label, text in enumerate(["any class", *names], start=-1)]

    def codec_of(self, contents):
        """The codec that wrote a file, `container.Contents`."""
        names = [name for name, run in self._runs.items() if run.name == contents.name]
        expected = f"a file of one of the page's models: {', '.join(self.names)}"
        remedy = "Start the page with --workdir, the run of that model"
        expect(names, expected, f"one of {contents.name!r}", remedy)
        return self.codec(names[0])


def draw(report, models, name, seed, shift, is_map=False, label=None):
    """Draws the images of `AuxiliaryModel.sample`, factor by factor. A label of -1 or None is no class."""
    seeds, shift = _seeds_and_shift(seed, shift, IMAGES)
    mode = "map" if arguments.flag("MAP sampling", is_map) else "sample"
    report(Step(f"Loading {name}", 0))
    model = models.load(name)
    condition = None
    if isinstance(model.condition, Classes) and label is not None:
        condition = np.full(IMAGES, arguments.whole("the class", label, -1, sys.maxsize))
    model.require(model.factors)
    request = sampling.checked(model, DrawRequest(seeds, shift, condition, mode))
    sizes = model.sizes(model.image_size or (SIDE, SIDE))
    images, drawn = (), None
    for done, (key, size) in enumerate(sizes.items()):
        step = functools.partial(_drawing, key, done / len(sizes), images)
        factor = model.factors[key]
        request = request._replace(size=size, auxiliary=drawn)
        with _unfinished_shown(report, step, [factor]):
            drawn = sampling.draw_factor(model, factor, request)
        images = step(to_rgb(drawn, factor.likelihood.num_values)).images
    report(Step(f"Drew {IMAGES} images by {name}", None, images))


def _drawing(name, share, images, drawn):
    """The step in which a factor has drawn uint8 [B, h, w, 3] so far, after `images`."""
    captioned = ((x, f"{plain(name)}, {n} of {IMAGES}") for n, x in enumerate(drawn, 1))
    return Step(f"Drawing {plain(name)}", share, (*images, *captioned))


class _Drawing(NamedTuple):
    """Several draws of a picture to make, all by one call if `options` have `num`."""

    before: Any  # uint8 [H, W, 3], to compare with the first draw
    images: tuple[tuple[Any, str], ...]  # shown before the draws
    pixels: Any  # the model's input
    draw: Callable[..., Any]  # a method of the model, with its first arguments
    options: dict[str, Any]  # its keyword arguments


def redraw(report, models, name, result, picture, seed, shift):
    """Enlarges or colors a picture several times, reduced to a size that is drawn within seconds."""
    picture = uploads.chosen(picture)
    prepare = (
        _coloring if result == COLORS else functools.partial(_enlargement, ENLARGEMENTS[result])
    )
    _draw_several(report, models, name, picture, prepare, seed, shift)


def _coloring(model, picture):
    pixels = picture.pixels
    grays = np.asarray(Image.fromarray(pixels).convert("L").convert("RGB"))
    images = ((grays, "The picture's grays"),)
    draw = functools.partial(model.colorize, pixels[np.newaxis])
    return _Drawing(grays, images, pixels, draw, {"num": DRAWS})


def _enlargement(times, model, picture):
    small = uploads.reduced(picture.pixels, _max_pixels(model) // times**2)
    height, width = (times * side for side in small.shape[:2])
    large = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    bicubic = np.asarray(large)
    images = (small, "The picture to enlarge"), (bicubic, "By bicubic interpolation")
    if picture.pixels.shape[0] >= height and picture.pixels.shape[1] >= width:
        images += ((resize(picture.pixels, (height, width)), "The picture itself"),)
    return _Drawing(
        bicubic, images, small, functools.partial(model.enlarge, small[np.newaxis], times), {}
    )


def complete(report, models, name, picture, painted, rectangle, seed, shift):
    """Draws a region of a picture several times; `painted` and `rectangle` are as for `uploads.mask`."""
    picture = uploads.chosen(picture)
    [mask] = uploads.mask(painted, rectangle, picture.pixels.shape[:2])
    whites = 255 * mask.repeat(3, axis=-1)

    def prepare(model, picture):
        pixels, known = (uploads.reduced(x, _max_pixels(model)) for x in (picture.pixels, whites))
        known = (known == 255)[..., :1]  # only pixels that are known entirely
        masked = np.where(known, pixels, np.uint8(127))
        images = (masked, "The known part"), (pixels, "The picture itself")
        known = known[np.newaxis].astype(np.uint8)
        draw = functools.partial(model.complete, pixels[np.newaxis], known)
        options = {}
        if name == COMPLETES:
            options = {"scenes": models.load(SCENES), "particles": PARTICLES}
        return _Drawing(masked, images, pixels, draw, options)

    _draw_several(report, models, name, picture, prepare, seed, shift)


def _max_pixels(model):
    """The number of pixels that a model draws within seconds."""
    return WHOLE if model.image_size is None else FEW


def _draw_several(report, models, name, picture, prepare, seed, shift):
    """Makes the `_Drawing` that `prepare(model, picture)` describes."""
    seeds, shift = _seeds_and_shift(seed, shift, DRAWS)
    report(Step(f"Loading {name}", 0))
    model = models.load(name)
    before, images, pixels, draw, options = prepare(model, picture)
    used = [model, options["scenes"]] if "scenes" in options else [model]
    factors = [factor for x in used for factor in x.factors.values()]
    drawn = []

    def step(text, share=None, unfinished=()):
        colors = [to_rgb(x[None], model.likelihood.num_values)[0] for x, _ in drawn]
        shown = enumerate([*colors, *unfinished[:1]], 1)
        captioned = ((x, f"Drawn, {n} of {DRAWS}") for n, x in shown)
        return Step(text, share, (*images, *captioned), (before, colors[0]) if colors else None)

    one_by_one = "num" not in options
    for number, seed in enumerate(seeds if one_by_one else seeds[:1]):
        drawing = functools.partial(step, f"Drawing, {number + 1} of {DRAWS}", number / DRAWS)
        draw_options = {"seeds": [seed], "log_scale_shift": shift, **options}
        with _unfinished_shown(report, drawing, factors):
            drawn += zip(*draw_and_score(model, draw, draw_options, one_by_one))
    drawn.sort(key=operator.itemgetter(1))
    report(step(f"Drew {DRAWS} by {name}, the likeliest first, of {picture.described(pixels)}"))


def compress(report, models, name, picture):
    """Compresses an `uploads.Picture` or None, compares with other formats, and decompresses it again."""
    chosen = uploads.chosen(picture)
    picture = chosen.pixels
    report(Step(f"Loading {name}", 0))
    codec = models.codec(name)
    size = codec.model.image_size
    images = picture[np.newaxis] if size is None else container.cut(picture, size)
    total = math.prod(images.shape[:3])
    progress = _periodic(report, lambda done: Step("Compressing", done / total))
    pictures = [("picture.png", *picture.shape[:2])]
    data = codec.compress(images, pictures=pictures, progress=progress)
    sizes = {name: len(data)}
    for file_format in lossless_files.FORMATS:
        [bits] = lossless_files.bits_per_dim(file_format, picture[np.newaxis])
        sizes[file_format] = round(bits * picture.size / 8)
    rows = [[x, f"{n:,}", f"{8 * n / picture.size:.3f}"] for x, n in sizes.items()]
    if chosen.format:
        bits = 8 * chosen.num_bytes / (3 * math.prod(chosen.size))
        file = f"your {chosen.format} file, {uploads.in_words(chosen.size)}"
        rows.append([file, f"{chosen.num_bytes:,}", f"{bits:.3f}"])
    caption = f"Files of the same {uploads.in_words(picture.shape)}"
    files = Table(caption, ["file", "bytes", BITS], rows)
    tables = files, _bits_by_scale(container.read(data), picture.size)
    text = "Decompressing, to check the file and to see where its bits are"
    [decoded], maps = _opened(report, Step(text, tables=tables), codec, data)
    remedy = "Report this to the authors"
    is_same = np.array_equal(decoded, picture)
    expect(is_same, "the same picture", "a different one", remedy, kind=RuntimeError)
    text = f"Compressed {chosen.described(picture)}; the file restores the same pixels"
    images = (picture, "The picture"), *maps
    report(Step(text, None, images, (picture, maps[0][0]), tables, data))


def decompress(report, models, data, contents):
    """Opens a compressed file; `data` and `contents` come from `uploads.compressed`."""
    report(Step("Loading the model of the file", 0))
    codec = models.codec_of(contents)
    pictures, maps = _opened(report, Step("Decompressing"), codec, data)
    likelihood = codec.model.likelihood
    colors = [(to_rgb(x, likelihood.num_values), "A picture of the file") for x in pictures]
    values = likelihood.num_channels * sum(h * w for _, h, w in contents.named_sizes)
    text = f"Decompressed {len(data):,} bytes by {contents.name}"
    report(Step(text, None, (*colors, *maps), None, (_bits_by_scale(contents, values),)))


def _opened(report, step, codec, data):
    """The pictures of a compressed file, [H, W, C], and captioned maps of their bits."""
    contents = container.read(data)
    progress = _periodic(report, lambda done: step._replace(share=done / contents.num_pixels))
    images, bits = codec.decompress_with_bits(data, progress)
    maps = contents.joined([x[..., np.newaxis] for x in bits])
    pictures = [np.asarray(x) for _, x in contents.joined(images)]
    return pictures, [map_of_bits(x[..., 0]) for _, x in maps]


def _bits_by_scale(contents, values):
    rows = [[plain(x), f"{n:,}", f"{n / values:.3f}"] for x, n in contents.bits.items()]
    return Table("Bits by scale", ["scale", "bits", BITS], rows)


def score(report, models, name, picture):
    """Scores an `uploads.Picture` or None by factor, cropped and resized to the model's size."""
    picture = uploads.chosen(picture)
    report(Step(f"Loading {name}", 0))
    model = models.exact(name)
    size, pixels = model.image_size, picture.pixels
    image = uploads.reduced(pixels, FEW) if size is None else fit(pixels, size)
    images = tuple(
        (to_rgb(x, model.factors[factor].likelihood.num_values)[0], plain(factor))
        for factor, x in model.auxiliaries(image[np.newaxis]).items()
    )
    report(Step("Scoring", 0.5, images))
    scores, names = pa.scores.score(model, image[np.newaxis]), [*model.factors, "total"]
    rows = [
        [text, *(f"{scores[key][x][0]:.4f}" if x in scores[key] else "" for x in names)]
        for key, text in SCORES.items()
        if key in scores
    ]
    pixel_bits = pa.scores.pixel_bits(model, image)
    maps = (map_of_excess(plain(x), bits - entropy) for x, (bits, entropy) in pixel_bits.items())
    cropped = "" if size is None else ", its center"
    text = f"Scored {picture.described(image)}{cropped}"
    table = Table(f"In {BITS}", ["score", *map(plain, names)], rows)
    report(Step(text, None, (*images, *maps), None, (table,)))


def map_of_bits(bits):
    """A color map of each pixel's bits, float [H, W], and its caption."""
    highest = max(float(bits.max()), 1.0)
    text = (
        f"Bits of each pixel: black is 0, the lightest {highest:.0f}; {bits.mean():.1f} on average"
    )
    return _colors(_MAGMA, bits / highest), text


def map_of_excess(name, excess):
    """A color map of each pixel's bits less their entropy, float [h, w], and its caption."""
    largest = max(float(np.abs(excess).max()), 1.0)
    text = (
        f"{name}: bits of each pixel less their entropy, red above 0 and blue below; from "
        f"{excess.min():.1f} to {excess.max():.1f}, {excess.mean():z.2f} on average"
    )
    return _colors(_BLUE_TO_RED, (1 + excess / largest) / 2), text


def _colors(colormap, shares):
    """Maps numbers from 0 to 1 to evenly spaced colors: uint8 [H, W, 3]."""
    places = np.linspace(0, 1, len(colormap))
    channels = [np.interp(shares, places, x) for x in zip(*colormap)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def plain(name):
    """A factor's name in plain words."""
    return re.sub(r"^(\d+)x(\d+)$", r"\1 x \2 pixels", name)


def _seeds_and_shift(seed, shift, count):
    """Checks both: (seeds [count, 2], shift)."""
    seed = arguments.whole("the seed", seed, 0, MAX_SEED)
    low, high = SHIFTS
    fits = isinstance(shift, (int, float)) and low <= shift <= high  # excludes NaN
    expected = f"a variety from {low} to {high}"
    expect(fits, expected, arguments.short_repr(shift), "Choose another one")
    return [[seed, number] for number in range(count)], float(shift)


def _periodic(report, step):
    """A function that reports `step` of its arguments, at most once per `PERIOD`."""
    reported = time.monotonic()

    def update(*args, **kwargs):
        nonlocal reported
        if time.monotonic() - reported >= PERIOD:
            report(step(*args, **kwargs))
            reported = time.monotonic()

    return update


@contextlib.contextmanager
def _unfinished_shown(report, step, factors):
    """Reports `step` of unfinished images of `factors`, uint8 [B, h, w, 3], once per `PERIOD`."""
    update = _periodic(report, lambda images, values: step(to_rgb(images, values)))
    for factor in factors:
        factor.watch = functools.partial(update, values=factor.likelihood.num_values)
    try:
        yield
    finally:
        for factor in factors:
            factor.watch = None
