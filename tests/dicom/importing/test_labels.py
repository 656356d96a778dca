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


def test_an_alias_makes_an_igtv_and_a_name_that_ends_like_one_does_not(dicom, ct, structures, plan, tmp_path):
    uid = dicom.series(tmp_path, ct, frame=PET_FRAME)
    structures("rs", ["Zielvolumen 1", "MRI_GTV", "Heart"], refers_to=[uid])
    path = tmp_path / "aliases.yaml"
    path.write_text('igtv: ["Zielvolumen*"]\n')
    made = plan(uid, aliases=path)
    assert (made.chosen[0].names, made.kind) == (("Zielvolumen 1",), "igtv")
    assert plan(uid, roi="MRI_GTV").kind == "gtv"
