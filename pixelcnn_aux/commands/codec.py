"""Compresses pictures losslessly with a model. COMMAND FILE... is one of

    compress PICTURE... --out F     compresses image files of any size, or folders of them, to one file
    decompress F --out FOLDER       writes the pictures as files of the kind that they had, or PNG
    verify F                        checks that this machine reproduces every picture
    inspect F [--map PICTURE]       shows the contents, and how many bits each part takes

F may be - for standard input or output. compress uses the model photographs, or the rounded model named by
--workdir: files of rounded models decode on any machine. To read F, give the run that wrote it by --workdir,
unless it is a trained model of the package. Models of any image size code pictures whole, others in tiles.

compress --out ARCHIVE, a name without a suffix, writes a folder of files with up to 16 pictures each, which
decompress and verify take as F. The same command continues a stopped one.
"""

import contextlib
import functools
import io
import itertools
import json
import math
import pathlib
import sys

import numpy as np
from absl import app, flags

import pixelcnn_aux as pa
from pixelcnn_aux.base import disk
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.base.progress import pixel_bar
from pixelcnn_aux.codec import container, picture_files
from pixelcnn_aux.commands import jobs, plots
from pixelcnn_aux.data.files import image_files
from pixelcnn_aux.image_grid import to_rgb, window
from pixelcnn_aux.jobs.shards import record as job_record
from pixelcnn_aux.run_files import trained
from pixelcnn_aux.run_files.folder import RunFolder

FLAGS = flags.FLAGS
ARGUMENTS = ["COMMAND", "FILE..."]

# flag -> commands that accept it
_OWN_FLAGS = {
    "out": ("compress", "decompress"),
    "map": ("inspect",),
    "metadata": ("compress",),
    "format": ("decompress",),
    "shards": ("verify",),
    "jobs": ("compress", "decompress", "verify"),
    "scheduler": ("compress", "decompress", "verify"),
}
SUFFIX = ".pxa"  # of the files of an archive
_MAX_GROUPED = 16  # pictures of such a file
_MAX_BYTES = 2**24  # of the image files of such a file
MAPPED = 16  # pictures side by side, at most
_MAX_PIPED = 2**30  # bytes read from standard input, which may never end


def main(command, *files):
    _check_usage(command in COMMANDS, ", ".join(COMMANDS), command, "Give one of these first")
    expected = f"{command} without flags of other commands"
    for flag, commands in _OWN_FLAGS.items():
        fits = not FLAGS[flag].present or command in commands
        _check_usage(fits, expected, f"--{flag}", "Omit it")
    COMMANDS[command](files)


def compress(files):
    expected, received = "pictures, and --out, the file to write", f"{list(files)}, {FLAGS.out}"
    _check_usage(FLAGS.out and files, expected, received, "Give both")
    output = sys.stdout
    is_stream = FLAGS.out == "-"
    is_archive = not is_stream and not pathlib.Path(FLAGS.out).suffix
    if not is_archive:
        _check_one_file()
    if not is_stream and not is_archive:
        disk.check_place("--out", FLAGS.out)
        disk.check_new(FLAGS.out)
    # Keep printed lines out of the compressed bytes.
    with contextlib.redirect_stdout(sys.stderr if is_stream else output):
        folder = trained.find(FLAGS.workdir or "photographs")
        model = pa.load(folder)
        channels = model.likelihood.num_channels
        paths = [path for file in files for path in image_files(file, channels)]
        print(f"Compressing with {folder}", flush=True)
        items = [(x.absolute(), name) for x, name in zip(paths, picture_files.names(paths))]
        settings = {"name": RunFolder(folder).name, "metadata": FLAGS.metadata}
        read = functools.partial(_read_picture, model, FLAGS.metadata)
        if is_archive:
            function = functools.partial(compressed, **settings)
            options = {"folder": FLAGS.out, "size": 1, "suffix": SUFFIX, "unit": "file"}
            groups = [*_groups(items)]
            shards = jobs.run(function, groups, model, **options)
            size = sum(shards.file(k).stat().st_size for k in range(len(shards)))
            missing = {shards.file(k): _missing(shards[k], x) for k, x in enumerate(groups)}
            count = len(paths) - sum(map(len, missing.values()))
            files = f"{count:,} pictures in {len(shards):,} files"
            print(f"Wrote {FLAGS.out}: {files}, {size:,} bytes")
            return _check_complete(missing, read)
        data = compressed(model, [items], **settings, bar=pixel_bar)
        missing = {FLAGS.out: _missing(data, items)}
        if len(missing[FLAGS.out]) == len(items):  # no picture at all
            _check_complete(missing, read)
        if is_stream:
            # Not by `output`, which drops writes that fail.
            with disk.explained("to write to standard output"):
                with open(output.fileno(), "wb", closefd=False) as opened:
                    opened.write(data)
        else:
            with disk.new_file(FLAGS.out) as opened:
                opened.write(data)
        contents = container.read(data)
        pixels = sum(height * width for _, height, width in contents.named_sizes)
        bits = 8 * len(data) / pixels
        print(f"Wrote {FLAGS.out}: {len(data):,} bytes, {bits:.3f} bits per pixel")
        _check_complete(missing, read)


def _missing(data, items):
    """The paths of the items that a compressed file lacks, since they cannot be read."""
    present = {picture_files.file_of(name) for name, *_ in container.read(data).pictures}
    return [path for path, *_, name in items if name not in present]


def _check_complete(missing, read):
    """Raises ValueError if files lack pictures, dict of file -> paths, and prints the reason for each."""
    for path in itertools.chain(*missing.values()):
        reason = f"{path}, which has changed"
        try:
            read(path)
        except (OSError, ValueError) as error:
            reason = error
        print(f"Left out: {reason}", flush=True)
    files = [file for file, paths in missing.items() if paths]
    existing = "".join(f"remove {file}, " for file in files if pathlib.Path(file).exists())
    remedy = (
        f"Mend these, {existing}and give the same command again, or write a new one without them"
    )
    expect(not files, f"all pictures in {FLAGS.out}", "pictures that were left out", remedy)


def compressed(model, groups, *, name, metadata, bar=lambda count: lambda done: None):
    """The compressed file of a shard, one group of pictures, each a path and a name: bytes."""
    [group] = groups
    codec = pa.codec.Codec(model, name)
    loaded, names = [], []
    for path, file in group:
        with contextlib.suppress(OSError, ValueError):  # `_missing` finds it
            found = _read_picture(model, metadata, path)
            loaded += found
            names += picture_files.pages(file, found)
    images = [picture.pixels for picture in loaded]
    named = [(name, *x.shape[:2]) for name, x in zip(names, images)]
    if model.image_size is not None:
        shape = 0, *model.image_size, model.likelihood.num_channels
        tiles = [container.cut(image, model.image_size) for image in images]
        images = np.concatenate(tiles) if tiles else np.zeros(shape, np.uint8)
    progress = bar(sum(math.prod(image.shape[:2]) for image in images))
    extras = [picture.extras for picture in loaded]
    extras = extras if any(extras) else []
    return codec.compress(images, pictures=named, progress=progress, extras=extras)


def _read_picture(model, metadata, path):
    likelihood = model.likelihood
    return picture_files.read(path, likelihood.num_channels, metadata, likelihood.num_values)


def decompress(files):
    is_folder = FLAGS.out and FLAGS.out != "-"
    _check_usage(is_folder, "--out, a folder for the pictures", FLAGS.out, "Name one")
    out = pathlib.Path(FLAGS.out)
    if archive := _archive(files):
        function = functools.partial(decompressed, out=str(out.absolute()), suffix=_suffix())
        disk.remove_unfinished(disk.writable(out))
        shards = _run(function, archive, jobs.as_written, folder=out / "shards")
        count = sum(len(json.loads(shard)) for shard in shards)
        print(f"Wrote {out}: {count:,} pictures")
        return
    data, contents = _read(files)
    for name, *_ in picture_files.files(contents.named_sizes, _extras(contents), _suffix()):
        disk.check_new(out / name)
    codec = _codec(contents)
    with disk.explained(f"a folder to write pictures to: {out}"):
        out.mkdir(parents=True, exist_ok=True)
    for name, pages in _written(codec, data, out, pixel_bar(contents.num_pixels), _suffix()):
        height, width, _ = pages[0].pixels.shape
        count = f"{len(pages)} pages of " * (len(pages) > 1)
        print(f"Wrote {out / name}: {count}{height} x {width}")


def decompressed(model, files, *, out, suffix):
    """Writes the pictures of a shard, one file of an archive; returns their paths and checksums as JSON."""
    out, data = pathlib.Path(out), _intact(files)
    found = _written(pa.codec.Codec(model), data, out, lambda done: None, suffix)
    return json.dumps([(str(out / x), disk.checksum(out / x)) for x, _ in found]).encode()


def _suffix():
    """The suffix of --format; None if unset."""
    return FLAGS.format and {"png": ".png", "tiff": ".tif"}[FLAGS.format]


def _written(codec, data, out, progress, suffix):
    """Writes the pictures of a file to a folder; yields the name of each file, and its pictures."""
    contents = container.read(data)
    images = contents.joined(image for image, _ in codec.decoded(data, progress))
    for name, count, extras in picture_files.files(contents.named_sizes, _extras(contents), suffix):
        kind = picture_files.SUFFIXES.get(pathlib.Path(name).suffix, "PNG")
        pages = [picture_files.Picture(x, extras, kind) for _, x in itertools.islice(images, count)]
        picture_files.write(file := io.BytesIO(), *pages)
        disk.write_once(out / name, file.getvalue())
        yield name, pages


def verify(files):
    if archive := _archive(files):
        shards = _run(verified, archive)
        count = sum(map(json.loads, shards))
        print(f"{count:,} pictures in {len(archive):,} files: reproduced exactly")
        return
    data, contents = _read(files)
    _codec(contents).verify(data, pixel_bar(contents.num_pixels))
    print(f"{_counts(contents)}: reproduced exactly")


def verified(model, files):
    """Checks a shard, one file of an archive, and returns the number of its pictures as JSON."""
    data = _intact(files)
    pa.codec.Codec(model).verify(data)
    return json.dumps(len(container.read(data).pictures)).encode()


def _archive(files):
    """Path and checksum of the files in an archive, or in its job.json; None if `files` name a file."""
    if len(files) != 1 or not pathlib.Path(files[0]).is_dir():
        return _check_one_file()
    folder = pathlib.Path(files[0])
    record = job_record(folder)
    names = {*record["shards"], *(file.name for file in folder.iterdir())}
    paths = [folder.absolute() / name for name in sorted(names) if name.endswith(SUFFIX)]
    expect(paths, f"files *{SUFFIX} in {folder}", "none", "Name a folder that compress wrote")
    return [(str(x), record["results"].get(x.name) or disk.checksum(x)) for x in paths]


def _intact(items):
    """The bytes of the file of a shard. Raises ValueError unless it is as `compress` wrote it."""
    [(path, checksum)] = items
    found = disk.checksum(path)
    received = "another file" if found else "no file that can be read"
    remedy = "Restore it, or give the command that compressed the archive again"
    expect(found and found == checksum, f"{path} as compress wrote it", received, remedy)
    return disk.contents(path)


def _check_one_file():
    present = [f"--{name}" for name in ("jobs", "scheduler", "shards") if FLAGS[name].present]
    remedy = "Leave them out, or name a folder, an archive"
    _check_usage(not present, "flags of one compressed file", " and ".join(present), remedy)


def _run(function, archive, done=lambda items, result: True, **kwargs):
    """`jobs.run` of the files of an archive, one per shard."""
    intact = {path for path, checksum in archive if checksum and disk.checksum(path) == checksum}
    model = _codec(container.read(disk.contents(min(intact, default=archive[0][0])))).model
    kwargs["done"] = lambda items, result: items[0][0] in intact and done(items, result)
    return jobs.run(function, archive, model, size=1, suffix=".json", unit="file", **kwargs)


def _groups(items):
    """Yields lists of pictures small enough for memory, for one file each."""
    group, size = [], 0
    for item in items:
        path, _ = item
        more = path.stat().st_size if path.exists() else 0  # a broken link fails later, by name
        if group and (len(group) == _MAX_GROUPED or size + more > _MAX_BYTES):
            yield group
            group, size = [], 0
        group.append(item)
        size += more
    yield group


def inspect(files):
    if FLAGS.map:
        plots.check("--map", FLAGS.map)
        disk.check_new(FLAGS.map)
    data, contents = _read(files)
    fits = contents.count or not FLAGS.map
    expect(fits, "a file of images for --map", "a file without images", "Omit --map")
    # Bits per pixel, not per dimension: files don't record the number of channels.
    pixels = sum(height * width for _, height, width in contents.named_sizes)

    def per_pixel(bits):
        return f"{bits / pixels:.3f} bits per pixel" if pixels else "no pixels"

    print(f"{len(data):,} bytes, {per_pixel(8 * len(data))}")
    print(f"model: {contents.name} ({contents.model[:12]})")
    print(_counts(contents))
    for (name, height, width), extras in zip(contents.pictures, _extras(contents)):
        sizes = "".join(f", {kind} {len(x):,} bytes" for kind, x in extras.items())
        print(f"    {name}: {height} x {width}{sizes}")
    print("bits by factor:")
    for name, bits in contents.bits.items():
        print(f"    {name:15} {bits:14,}   {per_pixel(bits)}")
    print("written by:")
    for key, value in contents.machine.items():
        print(f"    {key:15} {value!r}")
    if FLAGS.map:
        draw_map(contents, data)


def draw_map(contents, data):
    """Draws the first pictures of a file, each above a map of its pixels' bits."""
    codec = _codec(contents)
    images, bits = itertools.tee(codec.decoded(data, pixel_bar(contents.num_pixels)))
    images = (image for image, _ in images)
    bits = (x[..., np.newaxis] for _, x in bits)
    pairs = list(itertools.islice(zip(contents.joined(images), contents.joined(bits)), MAPPED))
    figure = plots.figure(figsize=(4 * len(pairs), 7), layout="constrained")
    panels = figure.subplots(2, len(pairs), squeeze=False)
    num_values = codec.model.likelihood.num_values
    for column, ((name, picture), (_, pixel_bits)) in zip(panels.T, pairs):
        shown = window(name, [picture], num_values)
        column[0].imshow(to_rgb(picture, num_values, shown))
        drawn = column[1].imshow(pixel_bits[..., 0], cmap="magma", vmin=0)
        figure.colorbar(drawn, ax=column[1], label="bits per pixel", location="bottom")
        for axis in column:
            axis.axis("off")
    plots.write(FLAGS.map, figure, dpi=120)
    print(f"Wrote {FLAGS.map}: {len(pairs)} of {len(contents.named_sizes):,} pictures")


COMMANDS = {x.__name__: x for x in (compress, decompress, verify, inspect)}


def _check_usage(*check):
    expect(*check, kind=app.UsageError)


def _read(files):
    """Reads the only compressed file: (bytes, `Contents`)."""
    remedy = "Name one, or - for standard input"
    _check_usage(len(files) == 1, "one compressed file", list(files), remedy)
    if files[0] != "-":
        data = disk.contents(files[0])
        return data, container.read(data)
    with disk.explained("to read standard input"):
        data = sys.stdin.buffer.read(_MAX_PIPED + 1)
    expected = f"at most {_MAX_PIPED:,} bytes in standard input"
    expect(len(data) <= _MAX_PIPED, expected, "more", "Name the compressed file")
    return data, container.read(data)


def _codec(contents):
    """The codec of --workdir, or of the trained model with the file's fingerprint."""
    names = {card["fingerprint"]: name for name, card in trained.pretrained().items()}
    expect(
        FLAGS.workdir is not None or contents.model in names,
        "--workdir, the run of the model that wrote the file",
        f"none, and {contents.name!r}, {contents.model[:12]}, is not a trained model of the package",
        "Give the folder of that run",
    )
    return pa.codec.Codec(pa.load(FLAGS.workdir or names[contents.model]))


def _extras(contents):
    """The extras of each picture of a file; empty dicts if the file has none."""
    return itertools.chain(contents.extras, itertools.repeat({}))


def _counts(contents):
    """Describes the numbers of pictures and tiles of a file."""
    count = f"{len(contents.pictures):,} pictures"
    if contents.size is None:
        return count
    height, width = contents.size
    return f"{count}, {contents.count:,} tiles of {height} x {width}"


def define_flags():
    text = (
        "compress: a run, or the name of a trained model; photographs if unset. Other commands: the run that "
        "wrote the file, unless it is a trained model of the package."
    )
    flags.DEFINE_string("workdir", None, text)
    out = "The file or archive to write; for decompress, the folder."
    flags.DEFINE_string("out", None, out)
    flags.DEFINE_string("map", None, "inspect: writes a picture of the bits per pixel.")
    flags.DEFINE_bool(
        "metadata",
        False,
        "compress: also keeps color profiles and EXIF, or all of DICOM files and stacks.",
    )
    text = "decompress: the format of all files; if unset, TIFF and DICOM files come back as such."
    flags.DEFINE_enum("format", None, ["png", "tiff"], text)
    jobs.define_flags()
