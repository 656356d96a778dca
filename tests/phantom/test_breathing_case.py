"""One breathing patient: where the tumour goes, what CT and PET show, what is known, which sources are refused."""

import nibabel as nib
import numpy as np
import pytest
from igtv.data.datalist import read_datalist
from igtv.phantom.breathing_case import cut_faces, draw_breath, make_breathing_case, within_pet
from igtv.phantom.breathing_settings import BreathingSettings
from igtv.phantom.case import unpack_phases
from igtv.phantom.grid import Grid
from igtv.phantom.source_case import BadSourceError, SourceCase, load_source

EXHALE = {"amplitude_median_mm": 12.0, "amplitude_spread": 0.0, "reference_phase": 0.5}


@pytest.fixture(scope="module")
def source(make_source, tmp_path_factory):
    """A ball of 20 mm at z = 45 mm, stored in LPS as scanners do."""
    folder = make_source(tmp_path_factory.mktemp("source"), ["P1"])
    return load_source(read_datalist(folder / "dataset.json").training[0])


@pytest.fixture(scope="module")
def exhale(source):
    return make_breathing_case(source, 3, 1, BreathingSettings(**EXHALE))


def heights(mask, grid):
    """Lowest and highest slice of a mask in mm."""
    slices = np.flatnonzero(mask.any(axis=(0, 1)))
    return grid.origin_mm[2] + grid.spacing_mm[2] * slices[[0, -1]]


def test_images_are_turned_to_the_patient(source):
    assert source.grid == source.pet_grid and source.grid.spacing_mm == (3.0, 3.0, 3.0)
    centre = np.argwhere(source.gtv).mean(axis=0) * 3.0 + source.grid.origin_mm
    np.testing.assert_allclose(centre, (30.0, 30.0, 45.0), atol=1e-6)
    assert (source.ct[:2] == 700).all()


def test_from_exhale_the_tumour_goes_down_by_the_amplitude(source, exhale):
    case, gtv = exhale
    facts = case.metadata
    assert facts["motion_mm"]["si"] == pytest.approx(12.0) and facts["excursion"]["si_mm"] == 12.0
    low, high = heights(source.gtv, source.grid)
    np.testing.assert_allclose(heights(case.label, case.grid), (low - 12.0, high))
    np.testing.assert_allclose(facts["phase_displacement_mm"][5], 0.0, atol=1e-9)
    assert facts["phase_displacement_mm"][0][2] == pytest.approx(-12.0)
    # phase 5 is where the source is; the label is the union
    masks = unpack_phases(case.phases, 10)
    assert masks[5].sum() == source.gtv.sum()
    assert np.array_equal(case.label, masks.any(axis=0))
    # balls of 10 mm at the ten places, by formula
    x, y, z = (axis - middle for axis, middle in zip(case.grid.axes(), (30.0, 30.0, 45.0), strict=True))
    swept = [(x - d[0]) ** 2 + (y - d[1]) ** 2 + (z - d[2]) ** 2 < 10.0**2 for d in facts["phase_displacement_mm"]]
    union = np.any(swept, axis=0)
    assert case.label.sum() == pytest.approx(union.sum(), rel=0.05)  # voxels of 3 mm
    assert 2.0 * (case.label & union).sum() / (case.label.sum() + union.sum()) > 0.95
    assert facts["label_volume_ml"] == pytest.approx(case.label.sum() * 0.027)
    assert gtv.sum() > 0 and not (gtv & ~case.label.astype(bool)).any()
    assert 0.4 <= facts["jacobian_range"][0] < 1.0 < facts["jacobian_range"][1] <= 1.6


def test_ct_shows_the_tumour_where_the_gtv_is(exhale):
    case, gtv = exhale
    soft = case.ct[3:] > -30
    assert 2.0 * (soft & (gtv[3:] > 0)).sum() / (soft.sum() + gtv.sum()) > 0.9
    assert case.ct.dtype == np.int16 and case.ct.min() >= -100 and case.ct.max() <= 700
    np.testing.assert_allclose(case.ct[0], 700, atol=8)  # the bone rests


def test_pet_is_the_time_average(source, exhale):
    """On the axis of the ball: share of the samples at which it is there, times 7, and the background of 1."""
    case, _ = exhale
    trace = draw_breath(3, source.case, 1, BreathingSettings(**EXHALE)).trace_mm
    x, y, z = (o + s * np.arange(n) for o, s, n in zip(case.grid.origin_mm, (3.0,) * 3, case.grid.shape, strict=True))
    i, j = int(np.abs(x - 30.0).argmin()), int(np.abs(y - 30.0).argmin())
    place = np.stack(np.broadcast_arrays(x[i], y[j], z), axis=-1)[:, None] - trace[None] - (30.0, 30.0, 45.0)
    # over a voxel the edge of a ball in voxels is a ramp
    there = np.clip(0.5 - (np.linalg.norm(place, axis=-1) - 10.0) / 3.0, 0.0, 1.0).mean(axis=1)
    shown = (case.pet[i, j] - 1.0) / 7.0
    assert np.abs(shown - there).mean() < 0.03 and np.abs(shown - there).max() < 0.15
    total = (case.pet - 1.0).sum()
    assert total == pytest.approx(7.0 * source.gtv.sum(), rel=0.05)


def test_a_pet_of_its_own_grid_gives_the_same(make_source, tmp_path, source, exhale):
    """Half a voxel beside the CT's and larger: the same uptake at the same places."""
    folder = make_source(tmp_path, ["P1"], axes="RAS")
    path = folder / "P1_0" / "pet.nii.gz"
    pet = np.pad(nib.load(path).get_fdata().astype(np.float32), 3, mode="edge")
    half = 0.5 * (pet[:-1] + pet[1:])
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    affine[:3, 3] = (-9.0 + 1.5, -9.0, -9.0)
    nib.save(nib.Nifti1Image(half, affine), path)
    other = load_source(read_datalist(folder / "dataset.json").training[0])
    moved = make_breathing_case(other, 3, 1, BreathingSettings(**EXHALE))[0]
    case = exhale[0]
    assert np.array_equal(moved.label, case.label)
    assert moved.pet_grid.shape[0] == case.pet.shape[0] + 5
    start = np.rint((np.asarray(case.grid.origin_mm) - moved.pet_grid.origin_mm) / 3.0 - (0.5, 0, 0)).astype(int)
    x, y, z = (slice(a, a + n) for a, n in zip(start, case.pet.shape, strict=True))
    between = 0.5 * (case.pet[:-1] + case.pet[1:])
    np.testing.assert_allclose(moved.pet[x, y, z][1:], between, atol=0.4)


@pytest.mark.parametrize("kind, shares", [("helical", (0, 1, 0)), ("average", (0, 0, 1))])
def test_other_kinds_of_ct(source, kind, shares):
    case, gtv = make_breathing_case(source, 3, 1, BreathingSettings(**EXHALE, ct_kind_shares=shares))
    assert case.metadata["ct_kind"] == kind and gtv.any()
    if kind == "average":
        assert case.metadata["ct_phase"] is None
        share = np.mean(unpack_phases(case.phases, 10), axis=0)
        # half-way between fat and tumour where it is half of the time
        assert np.corrcoef(case.ct[3:].ravel(), share[3:].ravel())[0, 1] > 0.95
    else:
        assert not (gtv & ~case.label.astype(bool)).any()


def test_deterministic_and_different_for_every_cycle_and_seed(source, exhale):
    settings = BreathingSettings(**EXHALE)
    again, gtv = make_breathing_case(source, 3, 1, settings)
    for name in ("ct", "pet", "label", "phases"):
        assert np.array_equal(getattr(again, name), getattr(exhale[0], name))
    assert np.array_equal(gtv, exhale[1]) and again.metadata == exhale[0].metadata
    traces = [
        draw_breath(*key, settings).trace_mm.sum() for key in ((3, "A", 1), (3, "A", 2), (4, "A", 1), (3, "B", 1))
    ]
    assert len(set(traces)) == 4


def test_amplitudes_follow_the_literature():
    """Median 6.3 mm and 1.3 to 17 mm in 6.3-mm series, 95th percentile 13 mm (docs/phantom.md)."""
    breaths = [draw_breath(0, str(number), 1, BreathingSettings()) for number in range(600)]
    si = np.array([breath.excursion.si_mm for breath in breaths])
    assert np.median(si) == pytest.approx(6.0, rel=0.08)
    assert np.percentile(si, 95) == pytest.approx(6.0 * np.exp(1.645 * 0.5), rel=0.12)
    assert si.min() >= 1.0 and si.max() <= 30.0
    assert np.mean([b.excursion.ap_mm for b in breaths]) == pytest.approx(0.25 * si.mean(), rel=0.06)
    sideways = np.abs([b.excursion.lr_mm / b.excursion.si_mm for b in breaths])
    assert sideways.max() <= 0.15 and sideways.mean() == pytest.approx(0.075, rel=0.08)
    forward = np.array([b.excursion.ap_mm / b.excursion.si_mm for b in breaths])
    assert 0.125 <= forward.min() < 0.13 and 0.37 < forward.max() <= 0.375
    # the source is one moment of the breathing: it lies anywhere on the way
    assert {b.breathing.order for b in breaths} == {1, 2, 3}
    assert 0.44 < np.mean([b.reference_phase for b in breaths]) < 0.56


def test_the_ct_ends_where_thicker_slices_of_the_pet_do():
    """PET slices of 4 mm at -8, -4, ..., 28; without the last three the last centre lies at 16 mm."""
    grid = Grid((0.0, 0.0, -9.5), (3.0, 3.0, 1.0), (10, 10, 40))
    pet_grid = Grid((0.0, 0.0, -8.0), (3.0, 3.0, 4.0), (10, 10, 10))
    whole = slice(0, 10)
    kept = within_pet((whole, whole, slice(0, 38)), grid, (whole, whole, slice(0, 7)), pet_grid)
    assert kept == (whole, whole, slice(0, 26))  # -9.5 + 25 = 15.5 mm, the last centre up to 16 mm
    kept = within_pet((whole, whole, slice(2, 40)), grid, (whole, whole, slice(1, 10)), pet_grid)
    assert kept == (whole, whole, slice(6, 40))  # -9.5 + 6 = -3.5 mm, the first from -4 mm
    same = (whole, slice(1, 9), slice(3, 40))
    assert within_pet(same, grid, same, grid) == same


def test_no_label_lies_beyond_a_pet_of_thicker_slices():
    """The ball lies 8 mm below the upper face, where the tissue moves and slices are left out."""
    grid = Grid.centred((0, 0, 0), (3.0, 3.0, 2.0), (60, 60, 48))
    pet_grid = Grid.centred((0, 0, 0), (4.0, 4.0, 4.0), (45, 45, 24))

    def ball(on):
        x, y, z = on.axes()
        return x**2 + y**2 + (z - 28) ** 2 < 12**2

    ct, pet = np.where(ball(grid), 40, -850).astype(np.int16), np.where(ball(pet_grid), 8, 1).astype(np.float32)
    source = SourceCase("C", "P", ct, pet, ball(grid), grid, pet_grid)
    cut = 0
    for cycle in range(1, 5):
        case, _ = make_breathing_case(source, 0, cycle, BreathingSettings(amplitude_median_mm=12.0))
        cut += case.pet_grid.shape != pet_grid.shape
        last_mm = case.pet_grid.origin_mm[2] + 4.0 * (case.pet_grid.shape[2] - 1)
        assert case.pet_grid.shape == pet_grid.shape or heights(case.label, case.grid)[1] <= last_mm
    assert cut  # else nothing was tested


def test_a_cut_tumour_loses_slices_or_is_refused(make_source, tmp_path):
    """It reaches the lowest slice; the tissue below it is not known, so what it would bring is left out."""
    folder = make_source(tmp_path, ["P1"], centre=(30.0, 30.0, 3.0))
    source = load_source(read_datalist(folder / "dataset.json").training[0])
    assert cut_faces(source.gtv) == ["inferior"]
    up = {"amplitude_median_mm": 12.0, "amplitude_spread": 0.0, "reference_phase": 0.0}
    case, _ = make_breathing_case(source, 3, 1, BreathingSettings(**up))
    lost = case.metadata["left_out_voxels"][2]
    assert lost[0] >= 4 and case.grid.shape[2] == source.grid.shape[2] - sum(lost)
    assert case.grid.origin_mm[2] == pytest.approx(3.0 * lost[0]) and case.pet.shape == case.ct.shape
    with pytest.raises(BadSourceError, match="cut by the inferior face"):
        make_breathing_case(source, 3, 1, BreathingSettings(**up, refuse_cut_tumours=True))


def test_an_image_too_small_for_the_motion_is_refused(make_source, tmp_path):
    folder = make_source(tmp_path, ["P1"])
    for key in ("ct", "pet", "label"):
        image = nib.load(folder / "P1_0" / f"{key}.nii.gz")
        nib.save(image.slicer[:, :, 14:18], folder / "P1_0" / f"{key}.nii.gz")
    source = load_source(read_datalist(folder / "dataset.json").training[0])
    with pytest.raises(BadSourceError, match="too small for the motion"):
        make_breathing_case(source, 3, 1, BreathingSettings(**EXHALE))


def test_unusable_sources_say_why(make_source, tmp_path):
    folder = make_source(tmp_path, ["P1"])
    item = read_datalist(folder / "dataset.json").training[0]
    label = nib.load(item.label)
    nib.save(nib.Nifti1Image(np.zeros(label.shape, np.uint8), label.affine), item.label)
    with pytest.raises(BadSourceError, match="is empty"):
        load_source(item)
    for key in ("ct", "pet", "label"):
        image = nib.load(folder / "P1_0" / f"{key}.nii.gz")
        turn = np.array([[1, 0, 0, 0], [0, 0.98, -0.199, 0], [0, 0.199, 0.98, 0], [0, 0, 0, 1.0]])
        data = np.ones(image.shape, np.uint8) if key == "label" else np.asarray(image.dataobj)
        nib.save(nib.Nifti1Image(data, turn @ image.affine), folder / "P1_0" / f"{key}.nii.gz")
    with pytest.raises(BadSourceError, match="is tilted against the patient's axes"):
        load_source(item)


@pytest.mark.parametrize(
    "values, message",
    [
        ({"amplitude_median_mm": 0}, "amplitude_median_mm is 0"),
        ({"num_phases": 17}, "num_phases is 17"),
        ({"num_phases": 9.5}, "num_phases is 9.5: a whole number"),
        ({"amplitude_range_mm": (5, 1)}, "amplitude_range_mm is"),
        ({"ct_kind_shares": (1, 0)}, "ct_kind_shares is"),
        ({"ct_kind_shares": (0, 0, 0)}, "at least one share"),
        ({"reference_phase": 1.5}, "reference_phase is 1.5"),
        ({"max_strain": 1.0}, "max_strain is 1.0"),
        ({"fade_mm": "wide"}, "fade_mm is 'wide'"),
        ({"refuse_cut_tumours": "no"}, "refuse_cut_tumours is 'no'"),
    ],
)
def test_settings_out_of_range(values, message):
    with pytest.raises(ValueError, match=message):
        BreathingSettings.from_mapping(values)


def test_unknown_setting():
    with pytest.raises(TypeError, match="unknown setting amplitude_mm"):
        BreathingSettings.from_mapping({"amplitude_mm": 3})
