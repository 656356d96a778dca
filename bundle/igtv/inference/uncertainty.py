"""Uncertainty by asking the network several times: mirrored inputs, and further checkpoints where there are any.

The mean probability over all answers is the prediction; its entropy is the uncertainty shown. Both come from the mean
alone, so any number of answers takes the memory of two volumes (running mean and spread after Welford, 1962).
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type

AXES = {"x": 2, "y": 3, "z": 4}
PROBABILITY_MARGIN = 1e-6  # keeps the logits of certain voxels finite, within +-13.8


class RunningMoments:
    """Mean and variance of tensors that come one by one (Welford's method), without keeping them."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: torch.Tensor | None = None
        self._squares: torch.Tensor | None = None

    def add(self, value: torch.Tensor) -> None:
        self.count += 1
        if self.mean is None:
            self.mean, self._squares = value.clone(), torch.zeros_like(value)
            return
        before = value - self.mean
        self.mean += before / self.count
        self._squares += before * (value - self.mean)

    @property
    def standard_deviation(self) -> torch.Tensor:
        """Population standard deviation of what was added."""
        if self._squares is None:
            raise ValueError("No value has been added yet, so there is no standard deviation.")
        return (self._squares / self.count).sqrt()


class FlipEnsembleInferer(Inferer):
    """Ask `inferer` for the volume as it is and mirrored, undo the mirroring, and average the probabilities.

    `last_standard_deviation` holds the spread of the latest volume's probabilities, (B, 1, H, W, S), or None after a
    single answer; one volume at a time per instance.

    Args:
        inferer: does the work for one volume, logits out, e.g. the whole-volume inferer.
        flips: mirrored versions besides the plain one, each naming its axes of the RAS volume: "x" (right-left),
            "y" (front-back), "z" (head-feet), or several at once such as "xy". Empty: the plain one alone.
        further_networks: networks asked besides the one the call brings, e.g. of other checkpoints.

    Raises:
        ValueError: for an axis other than x, y, z.
    """

    def __init__(
        self, inferer: Inferer, flips: Sequence[str] = ("x", "y", "z"), further_networks: Sequence[torch.nn.Module] = ()
    ) -> None:
        super().__init__()
        wrong = [flip for flip in flips if not flip or set(flip) - set(AXES)]
        if wrong:
            raise ValueError(f"flips holds {wrong}; name the axes of each flip with x, y, z, such as 'x' or 'xy'.")
        self.inferer = inferer
        self.flips = tuple(flips)
        self.further_networks = tuple(further_networks)
        self.last_standard_deviation: torch.Tensor | None = None

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Logits of the mean probability, float32.

        Args:
            inputs: fused volume (B, C, H, W, S).
            network: network with logits (B, 1, H, W, S).
            args, kwargs: for the inner inferer.
        """
        if not self.flips and not self.further_networks:  # one answer: its logits as they are, no further volumes
            self.last_standard_deviation = None
            return self.inferer(inputs, network, *args, **kwargs)
        plain = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        moments = RunningMoments()
        with torch.no_grad():
            for model in (network, *self.further_networks):
                if isinstance(model, torch.nn.Module):
                    model.eval()
                for flip in ("", *self.flips):
                    axes = [AXES[axis] for axis in flip]
                    logits = self.inferer(plain.flip(axes) if axes else plain, model, *args, **kwargs)
                    probability = torch.sigmoid(logits.float())
                    moments.add(probability.flip(axes) if axes else probability)
            self.last_standard_deviation = moments.standard_deviation
            mean_logits = torch.logit(moments.mean, eps=PROBABILITY_MARGIN)
        if isinstance(inputs, MetaTensor):
            description = MetaTensor([]).copy_meta_from(inputs, copy_attr=False)
            mean_logits = convert_to_dst_type(mean_logits, description, device=mean_logits.device)[0]
        return mean_logits


def predictive_entropy(probability: torch.Tensor) -> torch.Tensor:
    """Entropy of a foreground probability in bits: 0 where certain, 1 at probability 0.5.

    H = -p log2 p - (1 - p) log2(1 - p); Shannon 1948. Any shape.
    """
    p = probability.float().clamp(0, 1)
    return -(torch.xlogy(p, p) + torch.xlogy(1 - p, 1 - p)) / torch.log(torch.tensor(2.0, device=p.device))


class PredictiveEntropyd(MapTransform):
    """Add the uncertainty map to a case: entropy in bits of its probability map, on the same grid.

    Args:
        keys: key of the probability map in [0, 1], (1, X, Y, Z).
        output_key: key of the new map.
    """

    def __init__(self, keys: str = "probability", output_key: str = "uncertainty") -> None:
        super().__init__(keys)
        self.output_key = output_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        for key in self.key_iterator(result):
            result[self.output_key] = predictive_entropy(result[key])
        return result
