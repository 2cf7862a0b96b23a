"""Actions behind the page's buttons: generators of `Step`, without Gradio."""

import collections
import functools
import math
import operator
import re
import sys
from concurrent import futures
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

import pixelcnn_aux as pa
from pixelcnn_aux import data, sampling
from pixelcnn_aux.base import arguments, serialization
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.base.inputs import DrawRequest
from pixelcnn_aux.base.resizing import fit, resize
from pixelcnn_aux.codec import Codec, container
from pixelcnn_aux.conditions import Classes, Condition
from pixelcnn_aux.data import lossless_files
from pixelcnn_aux.demo import uploads
from pixelcnn_aux.image_grid import to_rgb
from pixelcnn_aux.runs import trained
from pixelcnn_aux.runs.folder import RunFolder
from pixelcnn_aux.sampling import drawn_with_bits

PERIOD = 0.5  # seconds between two updates of the page
IMAGES = 4  # drawn at once from scratch
DRAWS = 3  # of a picture
SIDE = 64  # of images drawn by a model of any size
SHIFTS = (-2.0, 0.5)  # of log-scales: below, draws hardly vary; above, they are noise
MAX_SEED = 2**31 - 1
# The most pixels drawn in seconds, by a model of any size; and one by one, or scored.
WHOLE, FEW = 2**18, 2**14

ENLARGEMENTS = {"twice as large": 2, "four times as large": 4}
COLORS = "colored"
# Default models of the tabs, and shifts of log-scales that look best.
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
    """Strings: the head of each column, and rows, each beginning with its name."""

    caption: str
    head: list[str]
    rows: list[list[str]]


class Step(NamedTuple):
    """The progress of an action and its results so far."""

    text: str
    share: float | None = None  # of the work, from 0 to 1; None once all is done
    images: tuple[tuple[Any, str], ...] = ()  # uint8 [h, w, 3] of any size, with captions
    pair: tuple[Any, Any] | None = None  # two of the images, of one size, to compare
    tables: tuple[Table, ...] = ()
    file: bytes | None = None  # to be downloaded


class Models:
    """The trained models of the package and the runs `workdirs`, each loaded on first use and kept."""

    def __init__(self, workdirs=()):
        self._runs = {x: RunFolder(trained.find(x)) for x in [*trained.pretrained(), *workdirs]}
        self._configs = {name: run.config() for name, run in self._runs.items()}
        self.names = list(self._runs)
        kinds = {x: {factor["class_name"] for factor in self._factors(x)} for x in self.names}
        self.rounded_names = [x for x in kinds if kinds[x] == {"RoundedFactor"}]  # these compress
        self.load = functools.cache(self._load)
        self.exact = functools.cache(lambda name: self.load(name).with_exact(True))
        self.codec = functools.cache(lambda name: Codec(self.load(name), self._runs[name].name))

    def _load(self, name):
        return pa.load(self._runs[arguments.choice("the model", name, self.names)].path)

    def _factors(self, name):
        return self._configs[name]["model"]["config"]["factors"]

    def classes(self, name):
        """Pairs of the name and the label of each class that a model takes, without loading it."""
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


def draw(models, name, seed, shift, is_map=False, label=None):
    """Draws the images of `AuxiliaryModel.sample` factor by factor. A label of -1 or None is no class."""
    seeds, shift = _seeds_and_shift(seed, shift, IMAGES)
    mode = "map" if arguments.flag("MAP sampling", is_map) else "sample"
    yield Step(f"Loading {name}", 0)
    model = models.load(name)
    condition = None
    if isinstance(model.condition, Classes) and label is not None:
        condition = np.full(IMAGES, arguments.whole("the class", label, -1, sys.maxsize))
    sizes, images, drawn = model.sizes(model.image_size or (SIDE, SIDE)), (), None
    model.require(model.factors)
    request = sampling.checked(model, DrawRequest(seeds, shift, condition, mode))
    for done, (of, size) in enumerate(sizes.items()):
        now = functools.partial(_drawing, of, done / len(sizes), images)
        factor, request = model.factors[of], request._replace(size=size, auxiliary=drawn)
        work = functools.partial(sampling.draw_factor, model, factor, request)
        drawn = yield from _growing([factor], work, now)
        images = now(to_rgb(drawn, factor.likelihood.num_values)).images
    yield Step(f"Drew {IMAGES} images by {name}", None, images)


def _drawing(name, share, images, drawn):
    """The step in which a factor has drawn uint8 [B, h, w, 3] so far, after other images."""
    named = ((x, f"{plain(name)}, {n} of {IMAGES}") for n, x in enumerate(drawn, 1))
    return Step(f"Drawing {plain(name)}", share, (*images, *named))


def redraw(models, name, what, picture, seed, shift):
    """Enlarges or colors a picture several times, reduced to a size that is drawn in seconds."""

    def begin(model):
        if what == COLORS:
            ours = picture.pixels
            grays = np.asarray(Image.fromarray(ours).convert("L").convert("RGB"))
            beside, call = ((grays, "The picture's grays"),), ("colorize", ours[np.newaxis])
            return grays, beside, ours, call, {"num": DRAWS}
        times = ENLARGEMENTS[what]
        small = uploads.reduced(picture.pixels, _most(model) // times**2)
        height, width = (times * side for side in small.shape[:2])
        large = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
        bicubic = np.asarray(large)
        beside = (small, "The picture to enlarge"), (bicubic, "By bicubic interpolation")
        if picture.pixels.shape[0] >= height and picture.pixels.shape[1] >= width:
            beside += ((resize(picture.pixels, (height, width)), "The picture itself"),)
        return bicubic, beside, small, ("enlarge", small[np.newaxis], times), {}

    picture = uploads.chosen(picture)
    return _draw_several(models, name, picture, begin, seed, shift)


def complete(models, name, picture, painted, rectangle, seed, shift):
    """Draws a region of a picture several times; `painted` and `rectangle` are as for `uploads.mask`."""
    picture = uploads.chosen(picture)
    [mask] = uploads.mask(painted, rectangle, picture.pixels.shape[:2])
    whites = 255 * mask.repeat(3, axis=-1)

    def begin(model):
        ours, known = (uploads.reduced(x, _most(model)) for x in (picture.pixels, whites))
        known = (known == 255)[..., :1]  # as far as all of a pixel is
        beside = np.where(known, ours, np.uint8(127))
        images = (beside, "The known part"), (ours, "The picture itself")
        scenes = {"scenes": models.load(SCENES), "particles": PARTICLES}
        call = "complete", ours[np.newaxis], known[np.newaxis].astype(np.uint8)
        return beside, images, ours, call, scenes if name == COMPLETES else {}

    return _draw_several(models, name, picture, begin, seed, shift)


def _most(model):
    """The most pixels that a model draws in seconds."""
    return WHOLE if model.image_size is None else FEW


def _draw_several(models, name, picture, begin, seed, shift):
    """Draws by `begin(model)`: an image to compare with, `Step.images` beside, pixels taken, and a call.

    That is the name of a method of the model with its arguments before those of draws, and those by keyword;
    with `num`, one call draws all.
    """
    seeds, shift = _seeds_and_shift(seed, shift, DRAWS)
    yield Step(f"Loading {name}", 0)
    model = models.load(name)
    (before, beside, taken, call, how), drawn = begin(model), []
    drawing = [model, *([how["scenes"]] if "scenes" in how else ())]
    factors = [factor for x in drawing for factor in x.factors.values()]

    def shown(text, share=None, unfinished=()):
        colors = [to_rgb(x[None], model.likelihood.num_values)[0] for x, _ in drawn]
        named = ((x, f"Drawn, {n} of {DRAWS}") for n, x in enumerate([*colors, *unfinished[:1]], 1))
        return Step(text, share, (*beside, *named), (before, colors[0]) if colors else None)

    one_by_one = "num" not in how
    for number, seed in enumerate(seeds if one_by_one else seeds[:1]):
        now = functools.partial(shown, f"Drawing, {number + 1} of {DRAWS}", number / DRAWS)
        each = {"seeds": [seed], "log_scale_shift": shift, **how}
        work = functools.partial(drawn_with_bits, model, call, each, one_by_one)
        drawn += zip(*(yield from _growing(factors, work, now)))
    drawn.sort(key=operator.itemgetter(1))
    yield shown(f"Drew {DRAWS} by {name}, the likeliest first, of {picture.taken(taken)}")


def compress(models, name, picture):
    """Compresses an `uploads.Picture` or None, beside other formats, and decompresses it again."""
    chosen = uploads.chosen(picture)
    picture = chosen.pixels
    yield Step(f"Loading {name}", 0)
    codec = models.codec(name)
    size = codec.model.image_size
    images = picture[np.newaxis] if size is None else container.cut(picture, size)
    pictures = [("picture.png", *picture.shape[:2])]
    data = yield from following(
        lambda report: codec.compress(images, pictures=pictures, progress=report),
        lambda done: Step("Compressing", done / math.prod(images.shape[:3])),
    )
    sizes = {name: len(data)}
    for kind in lossless_files.FORMATS:
        [bits] = lossless_files.bits_per_dim(kind, picture[np.newaxis])
        sizes[kind] = round(bits * picture.size / 8)
    rows = [[x, f"{n:,}", f"{8 * n / picture.size:.3f}"] for x, n in sizes.items()]
    if chosen.kind:
        own, values = uploads.in_words(chosen.size), 3 * math.prod(chosen.size)
        bits = f"{8 * chosen.num_bytes / values:.3f}"
        rows.append([f"your {chosen.kind} file, {own}", f"{chosen.num_bytes:,}", bits])
    caption = f"Files of the same {uploads.in_words(picture.shape)}"
    files = Table(caption, ["file", "bytes", BITS], rows)
    tables = files, _bits_by_scale(container.read(data), picture.size)
    text = "Decompressing, to check the file and to see where its bits are"
    [again], maps = yield from _opened(codec, data, Step(text, tables=tables))
    remedy = "Tell the authors of this program"
    same = np.array_equal(again, picture)
    expect(same, "the picture as it was", "another one", remedy, kind=RuntimeError)
    text = f"Compressed {chosen.taken(picture)}; the file gives back the same pixels"
    yield Step(text, None, ((picture, "The picture"), *maps), (picture, maps[0][0]), tables, data)


def decompress(models, data, contents):
    """Opens a compressed file, as of `uploads.compressed`."""
    yield Step("Loading the model of the file", 0)
    codec = models.codec_of(contents)
    pictures, maps = yield from _opened(codec, data, Step("Decompressing"))
    likelihood = codec.model.likelihood
    colors = [(to_rgb(x, likelihood.num_values), "A picture of the file") for x in pictures]
    values = likelihood.num_channels * sum(h * w for _, h, w in contents.named_sizes)
    text = f"Decompressed {len(data):,} bytes by {contents.name}"
    yield Step(text, None, (*colors, *maps), None, (_bits_by_scale(contents, values),))


def _opened(codec, data, found):
    """The pictures of a compressed file, [H, W, C], and maps of their bits with captions."""
    contents = container.read(data)
    images, bits = yield from following(
        lambda report: codec.decompress_with_bits(data, report),
        lambda done: found._replace(share=done / contents.num_pixels),
    )
    maps = contents.joined([x[..., np.newaxis] for x in bits])
    pictures = [np.asarray(x) for _, x in contents.joined(images)]
    return pictures, [map_of_bits(x[..., 0]) for _, x in maps]


def _bits_by_scale(contents, values):
    rows = [[plain(x), f"{n:,}", f"{n / values:.3f}"] for x, n in contents.bits.items()]
    return Table("Bits by scale", ["scale", "bits", BITS], rows)


def score(models, name, picture):
    """Scores an `uploads.Picture` or None, cropped and resized to the model's size, by factor."""
    picture = uploads.chosen(picture)
    yield Step(f"Loading {name}", 0)
    model = models.exact(name)
    size, pixels = model.image_size, picture.pixels
    image = uploads.reduced(pixels, FEW) if size is None else fit(pixels, size)
    images = tuple(
        (to_rgb(x, model.factors[factor].likelihood.num_values)[0], plain(factor))
        for factor, x in model.auxiliaries(image[np.newaxis]).items()
    )
    yield Step("Scoring", 0.5, images)
    scores, names = pa.scores.score(model, image[np.newaxis]), [*model.factors, "total"]
    rows = [
        [text, *(f"{scores[key][x][0]:.4f}" if x in scores[key] else "" for x in names)]
        for key, text in SCORES.items()
        if key in scores
    ]
    found = pa.scores.pixel_bits(model, image)
    maps = (map_of_excess(plain(x), bits - entropy) for x, (bits, entropy) in found.items())
    cut = "" if size is None else ", its center"
    text = f"Scored {picture.taken(image)}{cut}"
    table = Table(f"In {BITS}", ["score", *map(plain, names)], rows)
    yield Step(text, None, (*images, *maps), None, (table,))


def map_of_bits(bits):
    """Colors of the bits of each pixel, float [H, W], and their caption."""
    most = max(float(bits.max()), 1.0)
    text = f"Bits of each pixel: black is 0, the lightest {most:.0f}; {bits.mean():.1f} on average"
    return _colors(_MAGMA, bits / most), text


def map_of_excess(name, excess):
    """Colors of the bits of each pixel less their entropy, float [h, w], and their caption."""
    most = max(float(np.abs(excess).max()), 1.0)
    text = (
        f"{name}: bits of each pixel less their entropy, red above 0 and blue below; from "
        f"{excess.min():.1f} to {excess.max():.1f}, {excess.mean():z.2f} on average"
    )
    return _colors(_BLUE_TO_RED, (1 + excess / most) / 2), text


def _colors(colormap, shares):
    """uint8 [H, W, 3] of numbers from 0 to 1, between colors that are evenly spaced."""
    places = np.linspace(0, 1, len(colormap))
    channels = [np.interp(shares, places, x) for x in zip(*colormap)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def plain(name):
    """The name of a factor, without the field's abbreviations."""
    return re.sub(r"^(\d+)x(\d+)$", r"\1 x \2 pixels", name)


def _seeds_and_shift(seed, shift, count):
    """Seeds, [count, 2], and the shift, both checked."""
    seed = arguments.whole("the seed", seed, 0, MAX_SEED)
    low, high = SHIFTS
    fits = isinstance(shift, (int, float)) and low <= shift <= high  # nor NaN
    expected = f"a variety from {low} to {high}"
    expect(fits, expected, arguments.short_repr(shift), "Choose another one")
    return [[seed, number] for number in range(count)], float(shift)


def following(work, step):
    """Yields `step(x)` of the latest x that `work(report)` has reported, and returns its result."""
    reported: collections.deque[Any] = collections.deque(maxlen=1)
    with futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(work, reported.append)
        while futures.wait([future], PERIOD).not_done:
            if reported:
                yield step(reported.pop())
    return future.result()


def _growing(factors, draw, step):
    """`following` of a draw: `step` of unfinished images of some `factors`, uint8 [B, h, w, 3]."""

    def work(report):
        for factor in factors:
            factor.watch = lambda x, of=factor.likelihood.num_values: report((x, of))
        try:
            return draw()
        finally:
            for factor in factors:
                factor.watch = None

    return following(work, lambda reported: step(to_rgb(*reported)))
