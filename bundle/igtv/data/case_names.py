"""What a case may be called: its name becomes a folder of results, on whatever file system they are copied to."""

import re

FORBIDDEN = re.compile(r'[\x00-\x1f<>:"/\\|?*]')
LONGEST = 150


def check_case_name(name: str) -> str:
    """`name`, if it can be the name of a folder on every common file system.

    Raises:
        ValueError: when it cannot.
    """
    if not name or name[0] in ". " or name[-1] in ". " or len(name) > LONGEST or FORBIDDEN.search(name):
        raise ValueError(
            f"{name!r} cannot name an output folder: use letters, digits, - and _, {LONGEST} at most, in `patient_id`, "
            "or for the folder of the CT"
        )
    return name
