"""The cost of training, computed and not measured: python -m evaluate.cost, which is `benchmarks.cost`."""

from benchmarks import cost
from pixelcnn_aux.commands import program

if __name__ == "__main__":
    program.start(cost)
