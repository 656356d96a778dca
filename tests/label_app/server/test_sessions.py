"""Sessions end, whatever an earlier server or a cut-off upload left; what counts as a use of one."""

import json
import os
import time

import pytest
from lib.server.sessions import remove_expired
from monailabel.utils.sessions import Sessions

HOUR_S = 3600


@pytest.fixture
def open_session(tmp_path):
    """`open_session(idle_s, expiry_s)`: a session that was last used so long ago; its folder."""
    store = Sessions(str(tmp_path / "sessions"), HOUR_S)

    def make(idle_s: float, expiry_s: int = 0):
        case = tmp_path / "case"
        case.mkdir()
        (case / "ct.nii.gz").write_bytes(b"x")
        _, info = store.add_session(str(case), expiry_s)
        notes = tmp_path / "sessions" / info.name / "meta.info"
        content = json.loads(notes.read_text()) | {"last_access_ts": int(time.time() - idle_s)}
        notes.write_text(json.dumps(content))
        return notes.parent

    return make


def test_sessions_of_an_earlier_process_expire(open_session, tmp_path):
    """An hour at most, or what the client asked for; the newly started process knows none of them."""
    old, short, used = open_session(HOUR_S + 60), open_session(120, expiry_s=60), open_session(HOUR_S - 60)
    assert remove_expired(Sessions(str(tmp_path / "sessions"), HOUR_S)) == 2
    assert not old.exists() and not short.exists() and used.is_dir()


@pytest.mark.parametrize("notes", [None, "{", "[]", '{"last_access_ts": 1}'])
def test_a_broken_session_ends_by_its_age_and_keeps_no_other(open_session, tmp_path, notes):
    other, broken = open_session(HOUR_S + 60), tmp_path / "sessions" / "broken"
    broken.mkdir()
    if notes is not None:
        (broken / "meta.info").write_text(notes)
    sessions = Sessions(str(tmp_path / "sessions"), HOUR_S)
    assert remove_expired(sessions) == 1 and not other.exists()
    assert broken.is_dir()  # it may just be written
    then = time.time() - HOUR_S - 60
    os.utime(broken, (then, then))
    assert remove_expired(sessions) == 1 and not broken.exists()


def test_asking_what_a_session_holds_is_no_use_of_it_unless_the_client_says_so(local, made_up_app):
    content = (made_up_app.store.folder / "case_a.nii.gz").read_bytes()
    session = local.put("/session/", files=[("files", ("ct.nii.gz", content))]).json()["session_id"]
    made_up_app.sessions().get_session(session, update_ts=False).last_access_ts = 1
    for address in (f"/session/{session}", f"/session/{session}?update_ts=false"):
        assert local.get(address).json()["last_access_ts"] == 1
    assert local.get(f"/session/{session}?update_ts=true").json()["last_access_ts"] > 1
    made_up_app.sessions().get_session(session, update_ts=False).last_access_ts = 1
    local.post("/infer/igtv", params={"session_id": session})
    assert made_up_app.sessions().get_session(session, update_ts=False).last_access_ts > 1
