"""The program `pixelcnn-aux scores`: python -m evaluate.scores."""

from pixelcnn_aux.commands import program, scores

if __name__ == "__main__":
    program.start(scores)
