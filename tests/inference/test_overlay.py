"""The overlay picture: right slices, right way round, right scale, no shared state."""

import threading

import matplotlib
import numpy as np
import pytest
from igtv.inference.overlay import choose_panels, save_overlay
from PIL import Image

SHAPE = (40, 36, 20)
SPACING_MM = (2.0, 2.0, 3.0)


def volumes():
    ct = np.full(SHAPE, -850.0, np.float32)
    pet = np.full(SHAPE, 0.5, np.float32)
    mask = np.zeros(SHAPE, np.uint8)
    mask[20:26, 15:22, 6:13] = 1
    pet[mask > 0] = 8
    return ct, pet, mask


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def test_slices_are_the_ends_and_the_middle():
    mask = volumes()[2]
    places = [(panel.axis, panel.index) for panel in choose_panels({"empty": mask * 0, "tumour": mask}, SHAPE)]
    assert places[:3] == [(2, 12), (2, 9), (2, 6)]  # superior end first
    assert places[3][0] == 1 and 15 <= places[3][1] < 22
    assert places[4][0] == 0 and 20 <= places[4][1] < 26


def test_middle_of_a_mask_with_a_gap_is_a_slice_with_mask():
    mask = np.zeros(SHAPE, bool)
    mask[3, 3, [2, 3, 17]] = True
    assert [panel.index for panel in choose_panels({"a": mask}, SHAPE)[:3]] == [17, 3, 2]


def test_without_any_mask_the_volume_is_shown():
    panels = choose_panels({}, SHAPE)
    assert [panel.index for panel in panels] == [14, 10, 5, 18, 20]


def test_patient_right_is_on_the_left_and_superior_up(tmp_path):
    """A bright block at the right-anterior-superior corner must appear top left in axial and coronal panels."""
    ct = np.full(SHAPE, -1350.0, np.float32)
    ct[30:, 26:, :] = 150  # right, anterior
    ct[:, :, 15:] = np.where(ct[:, :, 15:] > 0, 150, -1350)
    picture = pixels(save_overlay(tmp_path / "a.png", ct, None, {}, SPACING_MM))
    axial = picture[76:386, 30:339].sum(axis=2)  # first panel
    bright_rows, bright_columns = np.nonzero(axial > 700)
    assert len(bright_rows) > 500
    assert np.median(bright_rows) < axial.shape[0] / 2
    assert np.median(bright_columns) < axial.shape[1] / 2


def test_aspect_follows_the_spacing(tmp_path):
    """A cube of 24 mm drawn through 2 x 2 x 3 mm voxels has a square outline in the coronal panel."""
    ct = np.full((60, 60, 40), -1350.0, np.float32)
    mask = np.zeros(ct.shape, np.uint8)
    mask[20:32, 20:32, 10:18] = 1
    picture = pixels(save_overlay(tmp_path / "a.png", ct, None, {"cube": mask}, (2.0, 2.0, 3.0)))
    lower_left = picture[420:735, 10:370]
    cyan = (lower_left[..., 0] < 60) & (lower_left[..., 1] > 180) & (lower_left[..., 2] > 200)
    rows, columns = np.nonzero(cyan)
    height, width = np.ptp(rows), np.ptp(columns)
    assert width > 40 and abs(height / width - 1) < 0.06


def test_masks_at_the_border_and_odd_values_are_drawn(tmp_path):
    ct, pet, mask = volumes()
    mask[:] = 0
    mask[0, 0, 0] = mask[-1, -1, -1] = 1
    ct[0, 0, 0] = pet[1, 1, 1] = np.nan
    path = save_overlay(
        tmp_path / "new" / "a.png", ct, pet, {"a": mask, "b": mask * 0}, SPACING_MM, "case", mask * 1.0,
        origin_mm=(0, 0, -100),
    )  # fmt: skip
    assert path.stat().st_size < 500_000
    assert Image.open(path).size == (1080, 760)
    assert [entry.name for entry in path.parent.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"spacing_mm": (1, 1, 0)}, "three positive"),
        ({"spacing_mm": (1, 1)}, "three positive"),
        ({"pet_suv": np.zeros((2, 2, 2))}, "PET has shape"),
        ({"masks": {"a": np.zeros((2, 2, 2))}}, "mask 'a'"),
        ({"ct_hu": np.zeros((2, 2))}, "give a volume"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, change, message):
    ct, pet, mask = volumes()
    arguments = {"ct_hu": ct, "pet_suv": pet, "masks": {"m": mask}, "spacing_mm": SPACING_MM, **change}
    with pytest.raises(ValueError, match=message):
        save_overlay(tmp_path / "a.png", **arguments)


def test_threads_draw_the_same_picture_and_leave_no_state(tmp_path):
    ct, pet, mask = volumes()
    before = dict(matplotlib.rcParams)

    def draw(number):
        save_overlay(tmp_path / f"{number}.png", ct, pet, {"m": mask}, SPACING_MM, "case")

    threads = [threading.Thread(target=draw, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({(tmp_path / f"{number}.png").read_bytes() for number in range(3)}) == 1
    assert dict(matplotlib.rcParams) == before


def test_real_patient(tmp_path, shared_dir):
    import nibabel as nib

    folder = shared_dir / "data" / "petct_gtv" / "STS_001"
    ct, pet, gtv = (nib.as_closest_canonical(nib.load(folder / f"{name}.nii.gz")) for name in ("ct", "pet", "gtv"))
    path = save_overlay(
        tmp_path / "a.png", ct.get_fdata(), pet.get_fdata(), {"GTV": gtv.get_fdata()}, ct.header.get_zooms()
    )
    assert path.stat().st_size < 600_000
