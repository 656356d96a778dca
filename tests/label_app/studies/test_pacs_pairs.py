"""Which CT and PET belong together, where a person has chosen: the file is read when it has changed."""

import json

from lib.studies import pacs_pairs
from lib.studies.pacs_listing import Listing, PacsSeries
from lib.studies.pacs_pairs import PacsPairs

CT, PETS = "1.2.1", ("1.2.8", "1.2.9")


def series(uid: str, modality: str) -> PacsSeries:
    return PacsSeries(uid, "1.2", modality, "P1", 3, "")


def test_a_choice_is_read_once_for_all_studies_and_again_when_it_has_changed(tmp_path, monkeypatch):
    chosen, read, reads = tmp_path / "pairs.json", pacs_pairs._read, []

    def counted(path):
        reads.append(path)
        return read(path)

    monkeypatch.setattr(pacs_pairs, "_read", counted)
    listing = Listing({CT: series(CT, "CT")}, {uid: series(uid, "PT") for uid in PETS}, {})
    pairs = PacsPairs(None, tmp_path / "pairs", chosen)
    assert pairs.known("1.2", listing) is None
    for number, content in enumerate(({CT: PETS[0]}, {CT: PETS[1], "1.3": "1.4"}), start=1):
        chosen.write_text(json.dumps(content))
        assert {pairs.known("1.2", listing).pet for _ in range(3)} == {content[CT]}
        assert reads.count(chosen) == number
    chosen.unlink()
    assert pairs.known("1.2", listing) is None
