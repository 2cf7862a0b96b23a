"""A model whose network is evaluated pixel by pixel, or group by group: draws, and teacher forcing."""

from keras import ops

from pixelcnn_aux import arguments, backend, conditions, layers
from pixelcnn_aux.likelihood_model import LikelihoodModel
from pixelcnn_aux.scanning import Remainders, TileScan, deciders


class PixelwiseModel(LikelihoodModel):
    """What of a `Factor` goes through an image pixel by pixel.

    A subclass also has the methods `network_inputs`, `features` and `_embed`.
    """

    def given(self, condition):
        """Within it, the networks are given a condition [B, ...]; None of a factor without one."""
        if (self.condition is None) != (condition is None):
            conditions.checked(self.condition, condition)  # which says what is wrong
        return layers.given_condition(self.condition and self.condition.encode(condition))

    def check_scannable(self):
        """Raises ValueError where the factor cannot be evaluated pixel by pixel: in mixed precision."""
        if self.compute_dtype != self.variable_dtype:
            raise ValueError(
                f"Expected a factor in float32 or float64, to be evaluated pixel by pixel. Received: "
                f'{self.dtype_policy.name}. Give its weights to one of model.new_factor(name, "float32").'
            )

    def scan(
        self, size, batch, auxiliary=None, within=None, method="incremental", keep_params=False
    ):
        """What evaluates the network pixel by pixel, in a graph that is being traced.

        Args:
          size: (H, W), ints.
          batch: B, an int or a scalar tensor.
          auxiliary: uint8 [B, h, w, c], which a factor with a fixed sum needs.
          within: (uint8 [B, H, W, C], uint8 [B, H, W, C]), the least and the most that each value is known to
            be; None where nothing is known.
          method: "incremental", as the network is evaluated step by step; or "full", the whole network again
            for every pixel.
          keep_params: bool, whether to return the parameters that the pixels were decided from.

        Returns:
          A scan of `scanning`, which like this method is to be called within `given`.
        """
        remainders = self.fixed_sum and Remainders(self.fixed_sum, auxiliary, within)
        shape = (*size, self.likelihood.num_channels)
        return self.network.scan(self.network_inputs, shape, batch, remainders, keep_params, method)

    def forced_params(self, inputs):
        """The parameters that a scan meets on its way through given images (teacher forcing).

        Args:
          inputs: `Inputs` that fit.

        Returns:
          float [B, H, W, P].

        Raises:
          ValueError: as `check_scannable`.
        """
        self.check_scannable()
        features = ()
        if inputs.auxiliary is not None:
            features = self.features(inputs.auxiliary, inputs.condition)
        return self._forced_params(features, inputs)

    @backend.compiled
    def _forced_params(self, features, inputs):
        images, auxiliary, condition = inputs
        batch, *size, _ = ops.shape(images)
        with self.given(condition):
            scan = self.scan(size, batch, auxiliary, keep_params=True)
            _, params = scan.decide_each_pixel(features, deciders.given_pixels(images))
        return params

    def draw(
        self,
        features,
        noise,
        log_scale_shift,
        auxiliary=None,
        completed=None,
        within=None,
        condition=None,
        method="incremental",
        jit_compile=False,
    ):
        """Draws images.

        Args:
          features: list of float [B, h, w, F], `Factor.features` of the auxiliary images; () for an
            unconditional factor.
          noise: float [B, H, W, noise_size], from `sampling.noise`: `bounded` for a factor with a fixed sum,
            and wherever `within` is given.
          log_scale_shift: float32 [B].
          auxiliary: uint8 [B, h, w, c], the auxiliary images themselves. Only a factor with a fixed sum needs
            them.
          completed: (uint8 [B, H, W, C], uint8 [B, H, W, 1]), pixels that are known, and 1 where they
            are; None where none is.
          condition: as in `Inputs`.
          within, method: as for `scan`.
          jit_compile: bool, whether XLA compiles the loop, once for each B.

        Returns:
          uint8 [B, H, W, C].

        Raises:
          ValueError: as `check_scannable`.
        """
        self.check_scannable()
        if self.fixed_sum is None:
            auxiliary = None
        draw = self._draw_by_xla if jit_compile else self._draw_by_graph
        known = auxiliary, completed, within, condition
        return draw(features, noise, log_scale_shift, known, method)

    def _draw(self, features, noise, log_scale_shift, known, method):
        auxiliary, completed, within, condition = known
        decider = self._draws(noise, log_scale_shift, completed, within)
        batch, *size, _ = ops.shape(noise)
        with self.given(condition):
            scan = self.scan(size, batch, auxiliary, within, method)
            [images] = scan.decide_each_pixel(features, decider)
        return ops.cast(images, arguments.pixel_dtype(self.likelihood.num_values))

    _draw_by_graph = backend.compiled(_draw)
    _draw_by_xla = backend.compiled(_draw, jit_compile=True)

    def _draws(self, noise, log_scale_shift, completed, within):
        """The decider that draws what is not known."""
        decider = deciders.draws(self.likelihood, noise, log_scale_shift)
        if completed is not None:
            decider = deciders.completion(*completed, decider)
        if within is not None:
            decider = deciders.narrowed(*within, decider)
        return decider

    def draw_in_tiles(
        self,
        noise,
        log_scale_shift,
        size,
        auxiliary=None,
        completed=None,
        within=None,
        condition=None,
    ):
        """As `draw`, of a factor that has a radius: in memory that grows with a tile, and traced for no size.

        Args:
          noise: `sampling.Noise`.
          size: (H, W).
          log_scale_shift, auxiliary, completed, within, condition: as for `draw`.
        """
        self.check_scannable()
        scan = TileScan(self, size, len(log_scale_shift), auxiliary, condition, within)
        images = scan.decide_each_pixel(self._draws(noise, log_scale_shift, completed, within))
        return ops.cast(images, arguments.pixel_dtype(self.likelihood.num_values))

    @backend.compiled
    def known_at_first(self, ones, auxiliary, condition):
        """`ParallelPixelCNN.known_at_first` of a tile: `ones` is [B, h, w, 1], of its blocks."""
        with self.given(condition):
            features = () if auxiliary is None else self._embed(auxiliary)
            return self.network.known_at_first(ops.shape(ones)[:3], features)

    @backend.compiled
    def group_params(self, k, known, condition):
        """`ParallelPixelCNN.group_params` of a tile."""
        with self.given(condition):
            return self.network.group_params(k, known)
