"""What the server says about the model in use."""

from types import SimpleNamespace


def test_a_checksum_is_the_registrys_own(local, made_up_app, tmp_path):
    """Which looks at the weights when they change: no request reads a whole checkpoint."""
    weights = tmp_path / "model.pt"
    weights.write_bytes(b"not what was hashed")
    version = SimpleNamespace(
        number=3, status="accepted", metrics={"dice": 0.7}, sha256="ab" * 32, path=tmp_path, model_path=weights
    )
    made_up_app.models = {"igtv": SimpleNamespace(current=lambda: version)}
    assert local.get("/model/info/igtv").json() == {
        "checksum": f"SHA256:{'ab' * 32}",
        "modified_time": int(weights.stat().st_mtime),
        "name": "igtv",
        "version": 3,
        "status": "accepted",
        "metrics": {"dice": 0.7},
    }
