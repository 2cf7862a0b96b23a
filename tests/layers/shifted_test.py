"""Tests of the pixels that each shifted convolution sees: exact sets, from impulse responses."""

import itertools

import numpy as np
import tensorflow as tf

from pixelcnn_aux import layers

HEIGHT, WIDTH = 6, 8
# Kernel size -> the rows and the columns that a convolution sees, relative to the pixel, inclusive.
DOWN = {(2, 3): ((-1, 0), (-1, 1)), (3, 3): ((-2, 0), (-1, 1)), (2, 1): ((-1, 0), (0, 0))}
DOWN_RIGHT = {(2, 3): ((-1, 0), (-2, 0)), (3, 3): ((-2, 0), (-2, 0)), (2, 1): ((-1, 0), (0, 0))}
# And those that a pixel reaches through a transposed one, relative to twice its place.
DOWN_TRANSPOSED = {(2, 3): ((0, 1), (-1, 1)), (3, 3): ((0, 2), (-1, 1))}
DOWN_RIGHT_TRANSPOSED = {(2, 3): ((0, 1), (0, 2)), (3, 3): ((0, 2), (0, 2))}


def connections(layer):
    """The set of (input pixel, output pixel) where the one has an influence on the other."""
    pixels = list(np.ndindex(HEIGHT, WIDTH))
    impulses = np.eye(len(pixels), dtype="float32").reshape(-1, HEIGHT, WIDTH, 1)
    responses = layer(impulses).numpy()[..., 0]  # The bias is zero.
    return {(pixels[n], (i, j)) for n, i, j in np.argwhere(responses).tolist()}


def rectangle(place, rows, columns, shape):
    """The pixels of an image that these offsets from a place reach."""
    offsets = itertools.product(*(range(first, last + 1) for first, last in (rows, columns)))
    pixels = {(place[0] + i, place[1] + j) for i, j in offsets}
    return pixels & set(np.ndindex(*shape))


def seen(rows, columns, strides):
    """The `connections` of a convolution, each output's taps in turn."""
    return {
        (tap, (i, j))
        for i, j in np.ndindex(HEIGHT // strides, WIDTH // strides)
        for tap in rectangle((i * strides, j * strides), rows, columns, (HEIGHT, WIDTH))
    }


def reached(rows, columns):
    """The `connections` of a transposed convolution, each input's stamp in turn."""
    return {
        ((i, j), pixel)
        for i, j in np.ndindex(HEIGHT, WIDTH)
        for pixel in rectangle((2 * i, 2 * j), rows, columns, (2 * HEIGHT, 2 * WIDTH))
    }


class ShiftedTest(tf.test.TestCase):
    def test_shifts_move_zeros_in(self):
        x = np.arange(1.0, 7.0).reshape(1, 2, 3, 1)
        self.assertAllEqual(layers.shift_down(x)[0, ..., 0], [[0, 0, 0], [1, 2, 3]])
        self.assertAllEqual(layers.shift_right(x)[0, ..., 0], [[0, 1, 2], [0, 4, 5]])

    def test_convolution_sees_exactly_its_taps(self):
        for kind, cases in (
            (layers.DownShiftedConv2D, DOWN),
            (layers.DownRightShiftedConv2D, DOWN_RIGHT),
        ):
            for (kernel_size, (rows, columns)), strides in itertools.product(cases.items(), (1, 2)):
                found = connections(kind(1, kernel_size, strides))
                self.assertSetEqual(found, seen(rows, columns, strides))

    def test_transposed_convolution_reaches_exactly_its_stamp(self):
        for kind, cases in (
            (layers.DownShiftedConv2DTranspose, DOWN_TRANSPOSED),
            (layers.DownRightShiftedConv2DTranspose, DOWN_RIGHT_TRANSPOSED),
        ):
            for kernel_size, (rows, columns) in cases.items():
                self.assertSetEqual(connections(kind(1, kernel_size)), reached(rows, columns))

    def test_down_shifted_kernel_of_even_width_is_refused(self):
        for kind in layers.DownShiftedConv2D, layers.DownShiftedConv2DTranspose:
            with self.assertRaisesRegex(ValueError, "odd kernel width.*Received"):
                kind(1, (2, 2))
