"""Names of weights in foreign checkpoints (CIPA, ImageNet VMamba) and what they are called here."""

import re

# What training programs put in front of names: DistributedDataParallel, Lightning, torch.compile.
WRAPPERS = ("module.", "model.", "network.", "_orig_mod.")

# Entries of a classification checkpoint that no segmentation network has.
CLASSIFIER = re.compile(r"(norm|head|classifier\..+|classifier)\.(weight|bias)")


def _shifted(number: str, by: int) -> str:
    return str(int(number) + by)


# Pattern of the whole foreign name, and the name here as a template of its groups or a function of the match.
# Both namings of CIPA's fusion (`cross_mamba`, `channel_attn_mamba` and `CRM`, `DCIM`) and of VMamba's blocks
# (`norm`, `op` and, before 2024, `ln_1`, `self_attention`) are known.
_ENCODER = r"(?:backbone\.)?(?:vssm\.)?"
_CRM = r"backbone\.(?:cross_mamba|CRM)\.(\d)\.channel_weights\.mlp\."
_DCIM = r"backbone\.(?:channel_attn_mamba|DCIM)\.(\d)\."
_RULES = [
    (_ENCODER + r"patch_embed\.(?:0|proj)\.(.+)", r"encoder.stem.conv.\1"),
    (_ENCODER + r"patch_embed\.(?:2|norm)\.(.+)", r"encoder.stem.norm.\1"),
    (_ENCODER + r"layers\.(\d)\.blocks\.(\d+)\.(?:norm|ln_1)\.(.+)", r"encoder.stages.\1.\2.norm.\3"),
    (_ENCODER + r"layers\.(\d)\.blocks\.(\d+)\.(?:op|self_attention)\.(.+)", r"encoder.stages.\1.\2.ss2d.\3"),
    (_ENCODER + r"layers\.(\d)\.downsample\.(.+)", lambda m: f"encoder.downsamples.{_shifted(m[1], 1)}.{m[2]}"),
    (_ENCODER + r"outnorm(\d)\.(.+)", r"encoder.output_norms.\1.\2"),
    (_CRM + r"0\.(.+)", r"fusion.\1.crm.input_norm.\2"),
    (_CRM + r"1\.(.+)", r"fusion.\1.crm.embed.\2"),
    (_CRM + r"3\.(.+)", r"fusion.\1.crm.scan.\2"),
    (_CRM + r"4\.(.+)", r"fusion.\1.crm.output_norm.\2"),
    (_CRM + r"5\.(.+)", r"fusion.\1.crm.gate.\2"),
    (r"backbone\.region_patch\.(\d)\.inner_convs\.(.+)", r"fusion.\1.dcim.word_stem.\2"),
    (r"backbone\.region_patch\.(\d)\.outer_convs\.(.+)", r"fusion.\1.dcim.region_stem.\2"),
    (_DCIM + r"inner_norm1\.(.+)", r"fusion.\1.dcim.word_norm.\2"),
    (_DCIM + r"inner_attn\.(.+)", r"fusion.\1.dcim.word_ss2d.\2"),
    (_DCIM + r"outer_norm1\.(.+)", r"fusion.\1.dcim.region_norm.\2"),
    (_DCIM + r"outer_attn\.(.+)", r"fusion.\1.dcim.region_ss2d.\2"),
    (r"decode_head\.layers_up\.0\.(.+)", r"decoder.expand.\1"),
    (
        r"decode_head\.layers_up\.(\d)\.blocks\.(\d+)\.(.+)",
        lambda m: f"decoder.levels.{_shifted(m[1], -1)}.{m[2]}.{_decoder_part(m[3])}",
    ),
    (
        r"decode_head\.layers_up\.(\d)\.upsample\.(.+)",
        lambda m: f"decoder.upsamplings.{_shifted(m[1], -1)}.{m[2]}",
    ),
    (r"decode_head\.norm_up\.(.+)", r"head.norm_in.\1"),
    (r"decode_head\.up\.(linear1|linear2)\.(.+)", r"head.\1.\2"),
    (r"decode_head\.up\.norm\.(.+)", r"head.norm_out.\1"),
    (r"decode_head\.output\.(.+)", r"head.output.\1"),
]
_COMPILED = [(re.compile(pattern), target) for pattern, target in _RULES]

_DECODER_PARTS = {
    "op.": "ss2d.",
    "conv_blk.cab.0.": "attention_conv.conv_in.",
    "conv_blk.cab.2.": "attention_conv.conv_out.",
    "conv_blk.cab.3.fc.0.": "attention_conv.squeeze.",
    "conv_blk.cab.3.fc.2.": "attention_conv.excite.",
}


def _decoder_part(name: str) -> str:
    """Translate a name inside a decoder block; norms and scales are called the same."""
    for foreign, own in _DECODER_PARTS.items():
        if name.startswith(foreign):
            return own + name.removeprefix(foreign)
    return name


def without_wrappers(name: str) -> str:
    """Take every wrapper off a name: `module.model.encoder.x` -> `encoder.x`."""
    stripped = True
    while stripped:
        stripped = False
        for wrapper in WRAPPERS:
            if name.startswith(wrapper):
                name = name.removeprefix(wrapper)
                stripped = True
    return name


def own_name(name: str) -> str:
    """Translate a name from a checkpoint; a name no rule knows is returned without its wrappers."""
    name = without_wrappers(name)
    for pattern, target in _COMPILED:
        match = pattern.fullmatch(name)
        if match:
            return match.expand(target) if isinstance(target, str) else target(match)
    return name
