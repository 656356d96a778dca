"""An address of a PACS never carries a password."""

import os
import subprocess
import sys

import pytest
from lib.paths import data_folders
from lib.server import start

ADDRESSES = [
    "http://anna:hidden@pacs.example/dicom-web",
    "https://hidden@pacs.example:8042",
    "http://:hidden@127.0.0.1",
]


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("data_dir", ["", "data"])
def test_a_user_or_password_in_the_address_is_refused(address, data_dir, tmp_path, monkeypatch, capsys):
    """Also where another folder is given; the refusal names the variables and does not repeat the address."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="MONAI_LABEL_DICOMWEB_USERNAME and MONAI_LABEL_DICOMWEB_PASSWORD") as refused:
        data_folders(address, data_dir)
    assert "hidden" not in str(refused.value)
    given = ["--data_dir", data_dir] if data_dir else []
    assert start.run(["--studies", address, *given]) == 2
    said = capsys.readouterr()
    assert "MONAI_LABEL_DICOMWEB_PASSWORD" in said.err and "hidden" not in said.err + said.out
    assert list(tmp_path.iterdir()) == []


def test_an_address_without_them_is_taken(tmp_path):
    assert data_folders("http://127.0.0.1:8042/a@b", tmp_path).root == tmp_path


def test_the_app_itself_refuses_it(label_app_dir, tmp_path):
    """As MONAI Label's own command makes it."""
    make = (
        "import sys; sys.path.insert(0, sys.argv[1]); from main import IgtvApp; IgtvApp(sys.argv[1], sys.argv[2], {})"
    )
    command = [sys.executable, "-c", make, str(label_app_dir), ADDRESSES[0]]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=os.environ, timeout=300)
    assert done.returncode != 0 and "the address of the studies holds a user or a password" in done.stderr
    assert "hidden" not in done.stderr + done.stdout
