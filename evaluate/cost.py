"""Computes the cost of training: python -m evaluate.cost, the same as `benchmarks.cost`."""

from benchmarks import cost
from pixelcnn_aux.commands import program

if __name__ == "__main__":
    program.start(cost)
