"""Likelihoods: the distribution of each pixel, given the output of a network.

Section 3.3 of Kolesnikov & Lampert (2017): a mixture of discretized logistics over RGB, as in PixelCNN++
(Salimans et al., 2017), and a categorical over few values, such as those of a 4-bit gray. All implement
`Likelihood`: `log_prob` and `bits_per_dim` of an image, and `draw` of a pixel.
"""

from typing import TYPE_CHECKING

from pixelcnn_aux.base import lazy
from pixelcnn_aux.base.arguments import MODES as MODES
from pixelcnn_aux.likelihoods.base import Likelihood as Likelihood
from pixelcnn_aux.likelihoods.categorical import Categorical as Categorical
from pixelcnn_aux.likelihoods.mixture import (
    MIN_LOG_SCALE as MIN_LOG_SCALE,
    LogisticMixture as LogisticMixture,
)

if TYPE_CHECKING:
    from pixelcnn_aux.likelihoods.distributions import DiscretizedLogistic as DiscretizedLogistic
else:
    __getattr__, _PUBLIC = lazy.names(__name__, {"distributions": "DiscretizedLogistic"})
