"""Measures the speed of drawing images: python -m evaluate.speed, the same as `benchmarks.speed`."""

from benchmarks import speed
from pixelcnn_aux.commands import program

if __name__ == "__main__":
    program.start(speed)
