"""How fast images are drawn: python -m evaluate.speed, which is `benchmarks.speed`."""

from benchmarks import speed
from pixelcnn_aux.commands import program

if __name__ == "__main__":
    program.start(speed)
