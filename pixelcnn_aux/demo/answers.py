"""What the page answers, whatever happens: functions for Gradio that never raise."""

import gradio as gr
from absl import logging

from pixelcnn_aux.demo.shown import contents, error, status
from pixelcnn_aux.demo.work import within_time


def answer(action, save=None):
    """A generator function of an action's arguments: how far it is, and what it has found, as HTML.

    Args:
      action: function that returns a generator of `Shown`.
      save: function of `Shown.file`, whose result is yielded too; None where there is no file.
    """

    def answers(*given):
        try:
            for shown in within_time(action(*given)):
                parts = status(shown.text, shown.share), contents(shown)
                yield parts if save is None else (*parts, save(shown.file))
        except Exception as problem:  # a page goes on, whatever one action meets
            yield told(problem), *([gr.skip()] if save is None else [gr.skip(), gr.skip()])

    return answers


def attempt(function, outputs):
    """A function that does as another, whose second result is said; or says an error, and changes nothing."""

    def attempted(*given):
        try:
            return function(*given)
        except Exception as problem:
            results = [gr.skip()] * len(outputs)
            results[1] = told(problem)
            return results

    return attempted


def told(problem):
    """HTML of an exception: its sentence alone, where it has one that is meant for who reads it."""
    logging.debug("%s", problem, exc_info=problem)
    text = str(problem)
    return error(text if text.startswith("Expected ") else f"{type(problem).__name__}: {text}")
