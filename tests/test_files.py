"""Files that appear whole, with the permissions `open` would have given them."""

import os
import threading

import pytest
from igtv.files import replacing


def test_permissions_are_those_of_open_and_the_umask_is_left_alone(tmp_path, monkeypatch):
    (tmp_path / "plain").write_text("")
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("the umask belongs to all threads"))

    def write(name):
        with replacing(tmp_path / name) as path:
            path.write_text(name)

    threads = [threading.Thread(target=write, args=(f"{index}.nii.gz",)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    files = sorted(tmp_path.iterdir())
    assert len(files) == 5 and len({file.stat().st_mode for file in files}) == 1
