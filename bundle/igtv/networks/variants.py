"""Sizes of the network: widths, depths and grids of nano, tiny, small and base."""

from dataclasses import dataclass


@dataclass(frozen=True)
class NetworkSize:
    """Numbers that tell one size of the network from another.

    Attributes:
        embed_width: channels C0 at stride 4; scale i has C0 * 2**i channels.
        encoder_depths: VSS blocks per encoder stage (strides 4, 8, 16, 32).
        decoder_depth: blocks per decoder level.
        state_size: states N per channel of the encoder's, CRM's and DCIM's scans.
        decoder_state_size: states N per channel of the decoder's scans.
        dcim_expansion: inner width of DCIM's scans over their width.
        crm_width: token width inside the channel rectification.
        crm_grids: grid every map is pooled to before the channel rectification, per scale.
        drop_path_rate: largest drop-path rate in the encoder (linear over depth).
        detail_width: channels of the full-resolution detail path (`rectified` only), doubled at half resolution.
    """

    embed_width: int
    encoder_depths: tuple[int, int, int, int]
    decoder_depth: int
    state_size: int
    decoder_state_size: int
    dcim_expansion: int
    crm_width: int
    crm_grids: tuple[int, int, int, int]
    drop_path_rate: float
    detail_width: int


# tiny, small, base: CIPA (arXiv 2503.17261) on the encoders of VMamba (arXiv 2401.10166). nano is our own.
SIZES: dict[str, NetworkSize] = {
    "nano": NetworkSize(24, (1, 1, 2, 1), 1, 8, 4, 1, 32, (32, 16, 8, 4), 0.0, 12),
    "tiny": NetworkSize(96, (2, 2, 9, 2), 4, 16, 4, 2, 96, (128, 64, 32, 16), 0.0, 16),
    "small": NetworkSize(96, (2, 2, 27, 2), 4, 16, 4, 2, 96, (128, 64, 32, 16), 0.3, 16),
    "base": NetworkSize(128, (2, 2, 27, 2), 4, 16, 4, 2, 96, (128, 64, 32, 16), 0.6, 24),
}


# architectures of configs/baselines, whose cards call them a variant too
CNNS = ("segresnet", "dynunet")


def network_size(variant: str) -> NetworkSize:
    """Return the numbers of a size by name.

    Raises:
        ValueError: the name is not one of `SIZES`.
    """
    if variant in CNNS:
        raise ValueError(
            f"variant {variant!r} is a CNN and no size of this network: to evaluate or train it give "
            f"configs/baselines/{variant}.json after train.json (and before evaluate.json); inference and the server "
            "run this network alone"
        )
    if variant not in SIZES:
        raise ValueError(f"variant {variant!r} does not exist; choose one of {', '.join(SIZES)}")
    return SIZES[variant]
