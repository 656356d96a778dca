"""The whole network: PET/CT slices in, IGTV logits out."""

import torch
from torch import Tensor, nn

from .channel_rectification import ChannelRectification
from .detail_stem import DetailHead, DetailStem
from .mamba_decoder import MambaDecoder, PlainHead
from .prompt_stem import PromptStem
from .region_word_interaction import RegionWordInteraction
from .slice_interaction import GatedSliceMixing, NeighbourDifferences
from .uptake_compression import compress_uptake
from .variants import NetworkSize, network_size
from .vss_encoder import VSSEncoder

SCALES = 4


class ScaleFusion(nn.Module):
    """Fusion of the CT and PET maps of one scale: gate the channels (CRM), let them interact (DCIM), add.

    Args:
        size: numbers of the network's size.
        scale: 0 (stride 4) to 3 (stride 32).
        rectified: gates see both modalities and enter the sum, and norms need no batch statistics. Otherwise as
            published: the plain maps enter the sum, and CT gates cannot see PET.
    """

    def __init__(self, size: NetworkSize, scale: int, rectified: bool) -> None:
        super().__init__()
        width = size.embed_width * 2**scale
        self.rectified: bool = rectified
        self.crm = ChannelRectification(
            size.crm_grids[scale], size.crm_width, size.state_size, directions=2 if rectified else 1
        )
        self.dcim = RegionWordInteraction(width, size.state_size, size.dcim_expansion, batch_norm=not rectified)

    def forward(self, ct: Tensor, pet: Tensor) -> Tensor:
        """Map CT and PET maps (N, C, h, w) to the fused map (N, C, h, w)."""
        gated_ct, gated_pet = self.crm(ct, pet)
        interaction = self.dcim(gated_ct, gated_pet)
        if self.rectified:
            return gated_ct + gated_pet + interaction
        return ct + pet + interaction


class IGTVNetwork(nn.Module):
    """Slice-wise Mamba network for PET/CT with interaction between neighbouring slices.

    Slices are folded into the batch; only the slice interaction module (SIM) mixes them, so that every slice is
    encoded once and a 2-D network is the case of one slice. CT and PET pass through one shared encoder.

    Args:
        variant: size, one of `variants.SIZES`.
        fusion: "cipa" computes what the published network (arXiv 2503.17261) computes; "rectified" is our corrected
            form: uptake on a logarithmic scale, two-way channel rectification that enters the sum, norms without
            batch statistics, an embedding that tells CT from PET, a convolutional path for detail at full, half and
            quarter resolution, linear layers that start at PyTorch's width, and an output bias at the foreground
            prior.
        sim: slice interaction: "none", "A" (gated mixing) or "B" (differences to neighbours).
        sim_radius: slices seen on each side.
        prompt_channels: extra input channels after CT and PET for interactive prompts.
        foreground_prior: share of foreground voxels the untrained `rectified` network predicts.
        drop_path_rate: overrides the size's encoder drop-path rate.

    Raises:
        ValueError: an argument is not one of those allowed.
    """

    def __init__(
        self,
        variant: str = "nano",
        fusion: str = "rectified",
        sim: str = "A",
        sim_radius: int = 2,
        prompt_channels: int = 0,
        foreground_prior: float = 0.01,
        drop_path_rate: float | None = None,
    ) -> None:
        super().__init__()
        size = network_size(variant)
        _check_arguments(fusion, sim, sim_radius, prompt_channels, foreground_prior)
        rectified = fusion == "rectified"
        width = size.embed_width
        if drop_path_rate is None:
            drop_path_rate = size.drop_path_rate
        self.sim_radius: int = sim_radius if sim != "none" else 0
        self.in_channels: int = 2 + prompt_channels

        self.encoder = VSSEncoder(
            width, size.encoder_depths, size.state_size, drop_path_rate, small_start=not rectified
        )
        self.modality_embedding: nn.Parameter | None = None
        self.detail_stem: DetailStem | None = None
        self.prompt_stem: PromptStem | None = None
        if rectified:
            self.modality_embedding = nn.Parameter(torch.zeros(2, width))
            self.detail_stem = DetailStem(size.detail_width, width)
        if prompt_channels:
            self.prompt_stem = PromptStem(prompt_channels, width, size.detail_width if rectified else 0)
        self.fusion = nn.ModuleList([ScaleFusion(size, scale, rectified) for scale in range(SCALES)])
        self.sim = nn.ModuleList()
        if sim != "none":
            module = GatedSliceMixing if sim == "A" else NeighbourDifferences
            self.sim.extend([module(width * 2**scale, sim_radius) for scale in range(SCALES)])
        self.decoder = MambaDecoder(width, size.decoder_depth, size.decoder_state_size)
        self.head = DetailHead(width, size.detail_width, foreground_prior) if rectified else PlainHead(width)

    def forward(self, x: Tensor) -> Tensor:
        """Segment slabs.

        Args:
            x: (B, 2 + prompt_channels, H, W, S): CT, PET, prompts; H and W multiples of 32 from 64 up, S >= 1.

        Returns:
            Logits (B, 1, H, W, S).

        Raises:
            ValueError: the shape is not allowed; the text says what is.
        """
        return self.decode(self.encode(x), x.shape[4], 0, x.shape[4])

    @torch.jit.export
    def encode(self, x: Tensor) -> list[Tensor]:
        """Encode and fuse every slice by itself.

        Args:
            x: as in `forward`.

        Returns:
            Maps of the B*S slices, slices running fastest: fused (B*S, C0 * 2**i, H / (4 * 2**i), W / (4 * 2**i)) for
            i = 0..3, then the detail maps at full and half resolution where the network has them.
        """
        self._check_input(x)
        slices = x.permute(0, 4, 1, 2, 3).flatten(0, 1)
        count = slices.shape[0]
        images, prompts = slices[:, :2], slices[:, 2:]
        offset: Tensor | None = None
        detail_offset: Tensor | None = None
        if self.modality_embedding is not None:
            images = compress_uptake(images)
            offset = self.modality_embedding.repeat_interleave(count, dim=0)[:, None, None]
        if self.prompt_stem is not None:
            prompt_offset, detail_offset = self.prompt_stem(prompts)
            prompt_offset = torch.cat([prompt_offset, prompt_offset])
            offset = prompt_offset if offset is None else offset + prompt_offset

        both = self.encoder(images.transpose(0, 1).flatten(0, 1).unsqueeze(1), offset)  # all CT slices, then all PET
        maps: list[Tensor] = []
        for scale, fusion in enumerate(self.fusion):
            maps.append(fusion(both[scale][:count], both[scale][count:]))
        if self.detail_stem is not None:
            details = self.detail_stem(images, detail_offset)
            maps[0] = maps[0] + details[2]
            maps += details[:2]
        return maps

    @torch.jit.export
    def decode(self, maps: list[Tensor], slices: int, start: int, count: int) -> Tensor:
        """Let the slices of a stack interact and decode some of them.

        Args:
            maps: what `encode` returns for stacks of `slices` slices.
            slices: slices S per stack; its ends count as the volume's ends, so a window inside a volume must reach
                `sim_radius` slices beyond what is decoded.
            start: first slice to decode.
            count: number of slices to decode.

        Returns:
            Logits (B, 1, H, W, count).
        """
        stacks: list[Tensor] = []
        for stacked in maps:
            stacks.append(stacked.unflatten(0, [stacked.shape[0] // slices, slices]))
        for scale, sim in enumerate(self.sim):
            stacks[scale] = sim(stacks[scale], start, count)
        chosen: list[Tensor] = []
        for stack in stacks:
            if stack.shape[1] != count:
                stack = stack[:, start : start + count]
            chosen.append(stack.flatten(0, 1))
        logits = self.head(self.decoder(chosen[:4]), chosen[4:])
        return logits.unflatten(0, [logits.shape[0] // count, count]).permute(0, 2, 3, 4, 1)

    def train(self, mode: bool = True) -> "IGTVNetwork":
        """Set the mode; parts whose parameters all rest stay in evaluation mode, so their statistics rest too."""
        super().train(mode)
        for part in self.children():
            parameters = list(part.parameters())
            if parameters and not any(parameter.requires_grad for parameter in parameters):
                part.eval()
        return self

    def _check_input(self, x: Tensor) -> None:
        if x.dim() != 5 or x.shape[1] != self.in_channels:
            raise ValueError(
                f"the network takes (batch, {self.in_channels}, H, W, slices) with channels CT, PET and then "
                f"{self.in_channels - 2} prompts, got shape {x.shape}"
            )
        height, width = x.shape[2], x.shape[3]
        if height < 64 or width < 64 or height % 32 != 0 or width % 32 != 0:
            raise ValueError(
                f"height and width must be multiples of 32 and at least 64, got {height} x {width}; "
                "pad or crop the slices"
            )
        if x.shape[0] < 1 or x.shape[4] < 1:
            raise ValueError(f"the network needs at least one stack of one slice, got shape {x.shape}")


def _check_arguments(fusion: str, sim: str, sim_radius: int, prompt_channels: int, foreground_prior: float) -> None:
    if fusion not in ("cipa", "rectified"):
        raise ValueError(f"fusion must be 'cipa' or 'rectified', got {fusion!r}")
    if sim not in ("none", "A", "B"):
        raise ValueError(f"sim must be 'none', 'A' or 'B', got {sim!r}")
    if sim_radius < 0:
        raise ValueError(f"sim_radius must be 0 or more, got {sim_radius}")
    if prompt_channels < 0:
        raise ValueError(f"prompt_channels must be 0 or more, got {prompt_channels}")
    if not 0 < foreground_prior < 1:
        raise ValueError(f"foreground_prior must lie between 0 and 1, got {foreground_prior}")
