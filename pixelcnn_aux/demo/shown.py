"""What an action shows: a sentence, pictures, tables and a file; as HTML, which tells all of it in words."""

import base64
import html
import io
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

FEW = 200  # pixels a side: a picture of fewer is shown enlarged, so that each of them is seen


class Figure(NamedTuple):
    """Pictures of one kind, beside each other; the caption is also for who does not see them."""

    caption: str
    images: list[Any]  # of uint8 [h, w, 3], each of any size


class Table(NamedTuple):
    """Strings: the head of each column, and rows whose first string is the head of the row."""

    caption: str
    head: list[str]
    rows: list[list[str]]


class Shown(NamedTuple):
    """How far an action is, and what it has found so far."""

    text: str
    share: float | None = None  # of its work that is done, from 0 to 1; None once all is
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    file: bytes | None = None  # to be downloaded


def status(text, share=None):
    """HTML of how far an action is, which screen readers tell."""
    bar = "" if share is None else f'<progress value="{share:.3f}"></progress>'
    return f'<p role="status">{bar} {html.escape(text)}</p>'


def error(text):
    """HTML of an error, which screen readers tell at once."""
    return f'<p role="alert" class="error">{html.escape(text)}</p>'


def contents(shown):
    """HTML of the pictures and tables of a `Shown`."""
    parts = [*map(figure, shown.figures), *map(_table, shown.tables)]
    return f'<div class="shown">{"".join(parts)}</div>'


def figure(given):
    """HTML of a `Figure`. Each picture says its size, and which of several it is."""
    images = []
    for number, image in enumerate(given.images, start=1):
        height, width, _ = image.shape
        which = f", {number} of {len(given.images)}" if len(given.images) > 1 else ""
        alt = html.escape(f"{given.caption}{which}: {width} x {height} pixels")
        kind = ' class="enlarged"' if max(width, height) < FEW else ""
        images.append(f'<img{kind} alt="{alt}" src="{source(image)}">')
    caption = html.escape(given.caption)
    return f"<figure><div>{''.join(images)}</div><figcaption>{caption}</figcaption></figure>"


def painting(image):
    """HTML of uint8 [h, w, 3] on which a region is painted; what it does is in paint.js."""
    height, width, _ = image.shape
    how = "Paint with the mouse or a finger; or with arrow keys and space, and Delete to wipe all."
    canvas = (
        f'<canvas class="paint" width="{width}" height="{height}" tabindex="0" role="application"'
    )
    return (
        f'<p>Paint over what is to be drawn. {how}</p><div class="painting">'
        f'<img alt="The picture to paint on: {width} x {height} pixels" src="{source(image)}">'
        f'{canvas} aria-label="Region to draw. {how}"></canvas><div class="brush"></div></div>'
        '<button type="button" class="wipe">Wipe</button>'
    )


def source(image):
    """The URL of uint8 [h, w, 3], which holds all of it."""
    Image.fromarray(np.asarray(image)).save(file := io.BytesIO(), "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _table(given):
    head = "".join(f'<th scope="col">{html.escape(x)}</th>' for x in given.head)
    rows = []
    for first, *others in given.rows:
        cells = "".join(f"<td>{html.escape(x)}</td>" for x in others)
        rows.append(f'<tr><th scope="row">{html.escape(first)}</th>{cells}</tr>')
    caption = f"<caption>{html.escape(given.caption)}</caption>"
    body = f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f'<div class="table" tabindex="0"><table>{caption}{body}</table></div>'
