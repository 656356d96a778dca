"""Which contours count for a CT, and what they are called: frames not given, damage, aliases, what is logged."""

import pydicom
import pytest
from igtv.dicom.errors import DicomError
from igtv.dicom.import_options import ImportOptions
from igtv.dicom.label_sources import label_sources
from igtv.dicom.labels import plan_label
from igtv.dicom.phases import find_four_d
from igtv.dicom.roi_names import AmbiguousRoi
from igtv.dicom.series import find_series
from igtv.dicom.target_ct import Target

PET_FRAME, PLANNING_FRAME = "1.2.77.1", "1.2.77.2"


def without_frame(path):
    """Take every mention of a frame of reference out of an RTSTRUCT."""
    dataset = pydicom.dcmread(path)
    for item in dataset.ReferencedFrameOfReferenceSequence:
        del item.FrameOfReferenceUID
    for item in dataset.StructureSetROISequence:
        del item.ReferencedFrameOfReferenceUID
    dataset.save_as(path)


@pytest.fixture
def ct(dicom):
    return dicom.body(size=(10, 10, 4))


@pytest.fixture
def structures(dicom, ct, tmp_path):
    """`structures(name, ROIs, frame, refers_to)` -> path of an RTSTRUCT whose ROIs are all one box."""

    def write(name, rois, frame=PET_FRAME, refers_to=()):
        box = dicom.box(ct, (3, 3, 1), (6, 6, 3))
        rois = dict.fromkeys(rois, box)
        return dicom.rtstruct(tmp_path / name, rois, frame=frame, refers_to=refers_to, description=name)

    return write


@pytest.fixture
def plan(tmp_path):
    """`plan(series UID of the target, **options)` -> the plan of the label; the target is None: the 4D-CT's average."""

    def make(target_uid, pet_frame="", **options):
        series, _ = find_series(tmp_path)
        target = Target(tuple(one for one in series if one.series_uid == target_uid), None, "free breathing")
        if target_uid is None:
            (four_d,) = find_four_d(series)
            target = Target(four_d.series, four_d, "average", made=True)
        sources, _ = label_sources(series, options.pop("label_series", None))
        return plan_label(sources, target, pet_frame, series, ImportOptions(**options))

    return make


@pytest.fixture
def two_cts(dicom, ct, tmp_path):
    """The PET's CT and a planning CT of another frame of reference."""
    pet_ct = dicom.series(tmp_path, ct, frame=PET_FRAME, description="CT AC")
    return pet_ct, dicom.series(tmp_path, ct, frame=PLANNING_FRAME, description="Planning CT")


def test_contours_without_frame_count_on_the_ct_they_refer_to_alone(two_cts, structures, plan):
    pet_ct, planning = two_cts
    without_frame(structures("rs", ["IGTV"], refers_to=[planning]))
    with pytest.raises(DicomError, match=r"\(3006,0024\).*--label_series"):
        plan(pet_ct, PET_FRAME)
    assert not plan(planning, PET_FRAME).moved


def test_each_object_of_a_series_has_its_own_frame(two_cts, structures, plan):
    pet_ct, planning = two_cts
    uid = pydicom.dcmread(structures("a", ["Heart"])).SeriesInstanceUID
    path = structures("b", ["IGTV"], refers_to=[planning])
    without_frame(path)
    dataset = pydicom.dcmread(path)
    dataset.SeriesInstanceUID = uid
    dataset.save_as(path)
    with pytest.raises(DicomError, match="no ROI is named as igtv"):
        plan(pet_ct, PET_FRAME)
    assert plan(planning, PET_FRAME).chosen[0].source.path.name == "b"


def test_contours_without_frame_drawn_in_the_frame_of_the_pet_are_moved(two_cts, structures, plan):
    pet_ct, planning = two_cts
    without_frame(structures("rs", ["IGTV"], refers_to=[pet_ct]))
    assert plan(planning, PET_FRAME).moved


def test_contours_without_frame_and_reference_need_a_patient_with_one_frame(dicom, ct, structures, plan, tmp_path):
    pet_ct = dicom.series(tmp_path, ct, frame=PET_FRAME, description="CT AC")
    without_frame(structures("stray", ["IGTV"], refers_to=["1.2.3.999"]))
    assert plan(pet_ct, PET_FRAME).chosen[0].names == ("IGTV",)
    dicom.series(tmp_path, ct, frame=PLANNING_FRAME, description="Planning CT")
    structures("sound", ["IGTV"])
    with pytest.raises(DicomError, match=r"stray.*\(3006,0024\).*--label_series"):
        plan(pet_ct, PET_FRAME)
    assert plan(pet_ct, PET_FRAME, label_series="sound").chosen[0].source.path.name == "sound"


def test_a_damaged_structure_set_does_not_give_way_to_another(dicom, ct, structures, plan, tmp_path):
    uid = dicom.series(tmp_path, ct, frame=PET_FRAME)
    structures("old", ["GTV"], refers_to=[uid])
    path = structures("new", ["GTV"], refers_to=[uid])
    dataset = pydicom.dcmread(path)
    del dataset.ROIContourSequence
    dataset.save_as(path)
    with pytest.raises(DicomError, match=r"new: ROIContourSequence \(3006,0039\) is missing"):
        plan(uid, kind="gtv")


def test_objects_without_target_are_logged_and_two_targets_asked_for(dicom, ct, structures, plan, tmp_path):
    uid = dicom.series(tmp_path, ct, frame=PET_FRAME)
    structures("organs", ["Heart", "Three ROIs"], refers_to=[uid])
    structures("target", ["GTV"], refers_to=[uid])
    made = plan(uid)
    assert made.chosen[0].source.path.name == "target"
    assert any("organs" in words and "no ROI is named as igtv" in words for words in made.decisions)
    structures("two", ["GTV_a", "GTV_b"], refers_to=[uid])
    with pytest.raises(AmbiguousRoi, match="two.*'GTV_a', 'GTV_b'"):
        plan(uid)


def test_two_gtvs_of_one_phase_are_named(dicom, ct, structures, plan, tmp_path):
    uids = [dicom.series(tmp_path, ct, frame=PET_FRAME, description=f"{value}%") for value in (0, 50)]
    for name, uid in zip(("early", "late"), uids, strict=True):
        structures(name, ["GTV"], refers_to=[uid])
    assert len(plan(None).per_phase) == 2
    structures("second look", ["GTV"], refers_to=uids[1:])
    words = r"phase 50 % has two GTVs: 'GTV' of .*(late.*second look|second look.*late).*--label_series or --roi"
    with pytest.raises(DicomError, match=words):
        plan(None)


def test_a_roi_that_names_another_phase_than_its_object_is_refused(dicom, ct, structures, plan, tmp_path):
    uids = [dicom.series(tmp_path, ct, frame=PET_FRAME, description=f"{value}%") for value in (0, 50)]
    structures("rs", ["GTV_c50"], refers_to=uids[:1])
    with pytest.raises(DicomError, match="rs.* was drawn on phase 0 %, its ROI 'GTV_c50' says 50 %: which is right"):
        plan(None)


@pytest.fixture
def phases(dicom, ct, tmp_path):
    """A 4D-CT of five phases; phase -> series UID."""
    return {
        value: dicom.series(tmp_path, ct, frame=PET_FRAME, description=f"4D {value}%") for value in (0, 20, 40, 60, 80)
    }


@pytest.mark.parametrize("options", [{}, {"roi": "IGTV"}, {"label_series": "rs"}])
@pytest.mark.parametrize("on_ct_of_pet", [False, True])
def test_the_dose_level_of_another_roi_is_no_phase(
    on_ct_of_pet, options, dicom, ct, phases, structures, plan, tmp_path
):
    target = dicom.series(tmp_path, ct, frame=PET_FRAME, description="CT AC") if on_ct_of_pet else None
    structures("rs", ["IGTV", "PTV_60"], refers_to=[phases[40]])
    made = plan(target, **options)
    assert (made.chosen[0].names, made.kind) == (("IGTV",), "igtv")
    assert made.only_phase is None and made.per_phase == {}


def test_a_bare_number_is_a_phase_only_beside_another_of_its_stem(phases, structures, plan):
    structures("rs", ["GTV_60", "PTV_60", "CTV_40"], refers_to=["1.2.3.999"])
    made = plan(None)
    assert (made.chosen[0].names, made.kind, made.only_phase) == (("GTV_60",), "gtv", None)
    assert any(
        "'GTV_60': its number may be a dose level and is not read as phase 60 %" in words for words in made.decisions
    )
    structures("rs", ["GTV_0", "GTV_20", "gtv_40", "GTV_60", "GTV_80", "PTV_60"], refers_to=["1.2.3.999"])
    made = plan(None)
    names = {phase.percent: one.names for phase, one in made.per_phase.items()}
    assert made.kind == "igtv" and names[40] == ("gtv_40",) and sorted(names) == [0, 20, 40, 60, 80]


@pytest.mark.parametrize("name", ["GTV_c60", "GTV T60", "GTV_ph_60", "GTV phase 60", "GTV 60%"])
def test_a_number_that_is_called_a_phase_is_one_alone(name, phases, structures, plan):
    structures("rs", [name, "PTV_40"], refers_to=["1.2.3.999"])
    assert plan(None).only_phase.percent == 60


def test_a_roi_of_0_percent_is_one_of_100_percent(dicom, ct, structures, plan, tmp_path):
    for value in (50, 100):
        dicom.series(tmp_path, ct, frame=PET_FRAME, description=f"4D {value}%")
    for rois in (["GTV_c00", "GTV_c50"], ["GTV_50", "GTV_100"], ["GTV_0", "GTV_50"]):
        structures("rs", [*rois, "PTV_150"], refers_to=["1.2.3.999"])
        assert [phase.percent for phase in plan(None).per_phase] == [50, 100]


def test_the_phase_an_object_was_drawn_on_goes_before_a_bare_number(phases, structures, plan):
    structures("rs", ["GTV_60", "PTV_60"], refers_to=[phases[40]])
    assert plan(None).only_phase.percent == 40


def test_the_users_roi_is_of_the_phase_its_object_was_drawn_on(phases, structures, plan):
    structures("rs", ["GTV_c40"], refers_to=[phases[0]])
    with pytest.raises(DicomError, match='which is right.*--roi "GTV_c40" takes it as phase 0 %.*--exclude_series'):
        plan(None)
    assert plan(None, roi="GTV_c40").only_phase.percent == 0


@pytest.mark.parametrize("rois", [["GTV_a", "GTV_b"], ["GTV_c60"]])
def test_gtvs_that_cannot_be_told_apart_do_not_stop_an_igtv(rois, phases, structures, plan):
    structures("rs", ["IGTV", *rois], refers_to=[phases[40]])
    made = plan(None)
    assert (made.chosen[0].names, made.kind, made.per_phase) == (("IGTV",), "igtv", {})
    assert any("motion is not measured on the phases' GTVs: " in words for words in made.decisions)
    with pytest.raises(DicomError, match="rs"):
        plan(None, kind="gtv")


def test_an_alias_makes_an_igtv_and_a_name_that_ends_like_one_does_not(dicom, ct, structures, plan, tmp_path):
    uid = dicom.series(tmp_path, ct, frame=PET_FRAME)
    structures("rs", ["Zielvolumen 1", "MRI_GTV", "Heart"], refers_to=[uid])
    path = tmp_path / "aliases.yaml"
    path.write_text('igtv: ["Zielvolumen*"]\n')
    made = plan(uid, aliases=path)
    assert (made.chosen[0].names, made.kind) == (("Zielvolumen 1",), "igtv")
    assert plan(uid, roi="MRI_GTV").kind == "gtv"


@pytest.mark.parametrize(
    ("name", "said", "kind"),
    [
        ("Zielvolumen 4D", "igtv", "igtv"),
        ("Zielvolumen 4D", "gtv", "gtv"),
        ("Union IGTV", "igtv", "igtv"),
        ("MRI_GTV", "igtv", "gtv"),
        ("ITV", "gtv", "igtv"),
        ("Herd", "igtv", "gtv"),
        ("MTV", "gtv", "igtv"),
    ],
)
def test_the_users_kind_counts_where_the_users_roi_does_not_say_it(
    name, said, kind, dicom, ct, structures, plan, tmp_path
):
    uid = dicom.series(tmp_path, ct, frame=PET_FRAME)
    structures("rs", [name, "Heart"], refers_to=[uid])
    made = plan(uid, roi=name, kind=said, aliases={"gtv": ["herd"], "igtv": ["MTV"]})
    assert made.kind == kind
    settled = name in ("Zielvolumen 4D", "Union IGTV")
    assert settled == any(f"taken as {kind.upper()} (--kind)" in words for words in made.decisions)


def test_without_the_users_roi_its_name_alone_decides_the_kind(dicom, ct, structures, plan, tmp_path):
    uid = dicom.series(tmp_path, ct, frame=PET_FRAME)
    structures("rs", ["Tumor", "Heart"], refers_to=[uid])
    assert plan(uid, kind="igtv").kind == "gtv"
