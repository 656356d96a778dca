"""Uncertainty by asking the network several times, with mirrored inputs.

The mean probability over all answers is the prediction; its entropy is the uncertainty shown. Both come from the mean
alone, so any number of answers takes the memory of two volumes.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type

from ..configuration.words import words

AXES = {"x": 2, "y": 3, "z": 4}
PROBABILITY_MARGIN = 1e-6  # keeps the logits of certain voxels finite, within +-13.8


class FlipEnsembleInferer(Inferer):
    """Ask `inferer` for the volume as it is and mirrored, undo the mirroring, and average the probabilities.

    Args:
        inferer: does the work for one volume, logits out, e.g. the whole-volume inferer.
        flips: mirrored versions besides the plain one, each naming its axes of the RAS volume: "x" (right-left),
            "y" (front-back), "z" (head-feet), or several at once such as "xy", which alone is one mirrored version.
            Empty: the plain one alone.

    Raises:
        ValueError: for an axis other than x, y, z.
    """

    def __init__(self, inferer: Inferer, flips: str | Sequence[str] = ("x", "y", "z")) -> None:
        super().__init__()
        self.flips = words(flips)
        wrong = [flip for flip in self.flips if not flip or set(flip) - set(AXES)]
        if wrong:
            raise ValueError(f"flips holds {wrong}; name the axes of each flip with x, y, z, such as 'x' or 'xy'.")
        self.inferer = inferer

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Logits of the mean probability, float32.

        Args:
            inputs: fused volume (B, C, H, W, S).
            network: network with logits (B, 1, H, W, S).
            args, kwargs: for the inner inferer.
        """
        if not self.flips:  # one answer: its logits as they are, no further volumes
            return self.inferer(inputs, network, *args, **kwargs)
        plain = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        views = ("", *self.flips)
        mean = 0.0
        with torch.no_grad():
            for flip in views:
                axes = [AXES[axis] for axis in flip]
                logits = self.inferer(plain.flip(axes) if axes else plain, network, *args, **kwargs)
                probability = torch.sigmoid(logits.float())
                mean = mean + (probability.flip(axes) if axes else probability) / len(views)
            mean_logits = torch.logit(mean, eps=PROBABILITY_MARGIN)
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
