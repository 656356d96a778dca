"""What the PACS has: by study, and once each, however many pages and studies there are."""

from lib.studies import pacs as pacs_module
from lib.studies.pacs import Pacs
from lib.studies.pacs_listing import Listing, PacsSeries


def series(uid: str, study: str, modality: str) -> PacsSeries:
    return PacsSeries(uid, study, modality, "P1", 3, "")


class CountingDict(dict):
    """Counts how often all its values are gone through."""

    walks = 0

    def values(self):
        self.walks += 1
        return super().values()


def test_series_by_study_are_looked_up_not_searched():
    cts = CountingDict({uid: series(uid, uid[:3], "CT") for uid in ("1.1.1", "1.1.2", "1.2.1")})
    pets = CountingDict({"1.1.9": series("1.1.9", "1.1", "PT")})
    listing = Listing(cts, pets, {})
    for _ in range(5):
        assert listing.of_study("1.1") == ([cts["1.1.1"], cts["1.1.2"]], [pets["1.1.9"]])
        assert listing.of_study("1.2") == ([cts["1.2.1"]], [])
        assert listing.of_study("1.3") == ([], [])
    assert (cts.walks, pets.walks) == (1, 1)


def pages_of(answers: list[list[str | None]], monkeypatch) -> list[str]:
    """UIDs that are found when the archive answers a search with these, page by page, and with the last one again."""
    monkeypatch.setattr(pacs_module, "PAGE", 3)
    asked, pacs = [], object.__new__(Pacs)
    pacs._client = type("Client", (), {"search_for_series": None})

    def ask(what, request, offset, **_):
        asked.append(offset)
        uids = answers[min(len(asked), len(answers)) - 1]
        return [{"0020000E": {"vr": "UI", "Value": [uid]}} if uid else {} for uid in uids]

    pacs._ask = ask
    return [str(one.SeriesInstanceUID) for one in pacs.find_series({"Modality": "CT"})]


def test_pages_are_put_together(monkeypatch):
    assert pages_of([["1.1", "1.2", "1.3"], ["1.4"]], monkeypatch) == ["1.1", "1.2", "1.3", "1.4"]


def test_an_archive_that_takes_no_notice_of_offsets_ends(monkeypatch):
    assert pages_of([["1.1", "1.2", "1.3"]], monkeypatch) == ["1.1", "1.2", "1.3"]
    assert pages_of([["1.1", None, "1.2"], ["1.2", "1.3", "1.4"]], monkeypatch) == ["1.1", "1.2", "1.3", "1.4"]
