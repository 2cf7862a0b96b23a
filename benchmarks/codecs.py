"""The codec beside PNG and WebP, the smallest of several files each, and JPEG XL: bits and seconds.

    pip install -r benchmarks/requirements.txt
    python -m benchmarks.codecs --workdir photographs --dataset cifar10
    python -m benchmarks.codecs --workdir photographs --pictures FOLDER

On the test images of the run's data set, or on image files of any size: whole, by a model of images of any
size, or in tiles. What the codec writes is decoded in another process, and compared with the images, value by
value. JPEG XL at its best needs cjxl, of Debian's libjxl-tools.
"""

import io
import math
import multiprocessing
import pathlib
import shutil
import subprocess
import tempfile
import time

import numpy as np
from absl import flags
from PIL import Image

import pixelcnn_aux as pa
from pixelcnn_aux import codec
from pixelcnn_aux.codec import container, pictures
from pixelcnn_aux.commands import chosen_run, program
from pixelcnn_aux.data import lossless_files
from pixelcnn_aux.progress import pixel_bar

FLAGS = flags.FLAGS
BEST = "-d 0 -e 10 -g 3 -E 3 -I 100 --num_threads=0".split()  # arguments of cjxl


def main():
    folder = chosen_run.workdir()
    model = pa.load(folder)
    images = list(loaded(folder, model))
    values = sum(image.size for image in images)
    print(f"{len(images):,} images, {values:,} values, by {folder.name}")
    print(f"{'':18} {'bits/dim':>9} {'bytes':>13} {'seconds':>9} {'to decode':>10}")
    ours(model, folder, images, values)
    for name, settings in formats().items():
        start = time.perf_counter()
        files = [
            min((lossless_files.encoded(image, x) for x in settings), key=len) for image in images
        ]
        middle = time.perf_counter()
        decoded = [np.asarray(Image.open(io.BytesIO(data))) for data in files]
        end = time.perf_counter()
        if not all(map(np.array_equal, decoded, images)):
            raise RuntimeError(f"Expected the same images again from {name}. Received: others.")
        row(name, sum(map(len, files)), values, middle - start, end - middle)
    if shutil.which("cjxl"):
        start = time.perf_counter()
        size = sum(len(jpeg_xl_at_best(image)) for image in images)
        row("JPEG XL, at best", size, values, time.perf_counter() - start)


def jpeg_xl_at_best(image):
    """The file, bytes, that cjxl makes of an image on one core."""
    command, pixels = ["cjxl", "-", "-", *BEST], lossless_files.encoded(image, {"format": "PPM"})
    return subprocess.run(command, input=pixels, capture_output=True, check=True).stdout


def formats():
    """As `lossless_files.FORMATS`, with JPEG XL by its default effort too."""
    found = dict(lossless_files.FORMATS)
    if best := found.pop("JPEG XL", None):
        found |= {"JPEG XL, effort 7": [{**best[0], "effort": 7}], "JPEG XL, effort 9": best}
    return found


def loaded(folder, model):
    """The images to compress, uint8 [H, W, 3] each."""
    if FLAGS.pictures:
        for file in sorted(pathlib.Path(FLAGS.pictures).iterdir())[: FLAGS.num_images]:
            yield pictures.read(file).pixels
    else:
        split = chosen_run.images(folder, model, "test")
        for batch in split.batches(100, min(FLAGS.num_images, split.num_images)):
            yield from batch


def ours(model, folder, images, values):
    coder, size = codec.Codec(model, batch=FLAGS.batch_size), model.image_size
    exact = model.with_exact(True)
    if size is None:
        cut = images
        nats = [exact.log_prob(image[np.newaxis])[0] for image in images]
    else:
        cut = np.concatenate([container.cut(image, size) for image in images])
        nats = exact.log_prob(cut)
    bits = -np.sum(np.asarray(nats, np.float64)) / math.log(2.0)
    with tempfile.TemporaryDirectory() as place:
        file, decoded = pathlib.Path(place) / "file", pathlib.Path(place) / "decoded.npz"
        start = time.perf_counter()
        bar = pixel_bar(sum(math.prod(image.shape[:2]) for image in cut))
        file.write_bytes(coder.compress(cut, progress=bar))
        seconds = time.perf_counter() - start
        process = multiprocessing.get_context("spawn").Process(
            target=decode, args=(FLAGS.plugin, folder, file, decoded)
        )
        process.start()
        process.join()
        if process.exitcode:
            raise RuntimeError("Expected another process to decode the file. Received: an error.")
        found = np.load(decoded)
        if not all(np.array_equal(found[str(k)], image) for k, image in enumerate(cut)):
            raise RuntimeError("Expected the same images again. Received: others.")
        row("the codec", file.stat().st_size, values, seconds, float(found["seconds"]))
        row("log-likelihood", bits / 8, values)


def decode(plugins, folder, file, decoded):
    """Decodes a file in another process: writes its images, and the seconds that this took."""
    for name in plugins:
        program.import_plugin(name)
    coder = codec.Codec(pa.load(folder))
    start = time.perf_counter()
    images = coder.decompress(file.read_bytes())
    seconds = time.perf_counter() - start
    np.savez(decoded, seconds=seconds, **{str(k): image for k, image in enumerate(images)})


def row(name, size, values, *seconds):
    cells = "".join(f" {x:>9.1f}" for x in seconds)
    print(f"{name:18} {8 * size / values:>9.4f} {size:>13,.0f}{cells}", flush=True)


def define_flags():
    chosen_run.define_source()
    flags.DEFINE_string("pictures", None, "A folder of image files of any size.")
    flags.DEFINE_integer("num_images", 10_000, "Images, at most.", lower_bound=1)
    flags.DEFINE_integer("batch_size", 64, "Tiles that are coded together.", lower_bound=1)


if __name__ == "__main__":
    program.start()
