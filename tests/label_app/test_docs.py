"""The tests that the page on security names are there."""

import re
from pathlib import Path

HERE = Path(__file__).parent


def test_the_tests_named_by_the_page_on_security_exist(label_app_dir):
    named, path = 0, None
    for file, test in re.findall(r"`([\w/]*\w+\.py)?::(\w+)`", (label_app_dir / "docs" / "security.md").read_text()):
        if file:
            path = HERE.parents[1] / file if file.startswith("tests/") else HERE / file
        assert f"def {test}(" in path.read_text(), f"{path.name}::{test}"
        named += 1
    assert named > 25
