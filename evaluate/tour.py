"""The program `pixelcnn-aux tour`: python -m evaluate.tour."""

from pixelcnn_aux.commands import program, tour

if __name__ == "__main__":
    program.start(tour)
