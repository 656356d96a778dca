"""Numbers in descriptions that can be no part of a date: measures, slice thicknesses, phases, kernels, 3D and 4D."""

_NOT_WITHIN_NUMBERS = r"(?<!\d)(?<!\d[-.,/:])"  # the 65 of 12.03.65 is no beginning
_ENDS = r"(?![-.,/:]?\d)"
_NO_LETTER_BEFORE, _NO_LETTER_AFTER = r"(?<![^\W_])", r"(?![^\W\d_])"
_UNITS = "mm|cm|ml|cc|s|sec|min|kv|gy|mbq"
_FORMS = (
    # 40.0%, 3 mm, 120kV
    rf"{_NOT_WITHIN_NUMBERS}\d{{1,3}}(?:[.,]\d{{1,3}})?(?:[ _]?(?:{_UNITS}){_NO_LETTER_AFTER}|[ ]?%)",
    # 3.0, 0.625: neither a day nor a month is 0
    rf"{_NOT_WITHIN_NUMBERS}(?:[1-9]\d{{0,2}}[.,]0|0[.,]\d{{1,3}}){_ENDS}",
    # 4D, 4DCT
    rf"{_NOT_WITHIN_NUMBERS}[234]d(?=[\W_]|ct|pet|mip|$)",
    # T40, c40, T=40, ph00: phases of 10, 20, 4 or 6 steps
    rf"{_NO_LETTER_BEFORE}(?:phase|ph|[ct])=?(?:100|00?|[1-9][05]|17|33|67|83){_ENDS}{_NO_LETTER_AFTER}",
    # B30f, I70f
    rf"{_NO_LETTER_BEFORE}[bdhij][1-9]\d[fhs](?![^\W_])",
)
# as source, for an expression that ignores case
HARMLESS = "|".join(_FORMS)
# common slice thicknesses that may also be a day and a month; a point after them says that they are
THICKNESS = rf"{_NOT_WITHIN_NUMBERS}(?:1[.,]25|1[.,]5|2[.,]5|3[.,]75)(?!\.){_ENDS}"
