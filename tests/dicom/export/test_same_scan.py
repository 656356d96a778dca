"""Whether contours may refer to a series: frames of reference, voxels on one grid and on another."""

import numpy as np
import pytest
import SimpleITK as sitk
from igtv.dicom.errors import DicomError
from igtv.dicom.reference_series import read_reference
from igtv.dicom.same_scan import check_same_scan
from igtv.dicom.series import load_series
from igtv.dicom.volume import read_volume

FRAME, OTHER_FRAME = "1.2.77.1", "1.2.77.2"


def source(*frames):
    """What an import noted of CTs in these frames of reference."""
    return {"ct": [{"series_uid": f"1.2.{number}", "frame_of_reference_uid": one} for number, one in enumerate(frames)]}


def thinner(image):
    """The same body on every second column and row, a few slices less."""
    return image[::2, ::2, 1:-2]


def turned(image):
    """Another body of the same size: left and right changed, so that tissue meets what was air."""
    flipped = sitk.Flip(image, [True, False, False])
    flipped.CopyInformation(image)
    return flipped


@pytest.fixture(scope="module")
def ct(tmp_path_factory, write_ct):
    """A series, and its image in HU: tissue in the right half of its columns."""
    folder = write_ct(tmp_path_factory.mktemp("scan") / "ct", FrameOfReferenceUID=FRAME)
    return read_reference(load_series(folder)), read_volume(folder)[0]


@pytest.mark.parametrize("noted", [{}, source(FRAME), source(FRAME, FRAME), source(""), source(OTHER_FRAME)])
def test_the_very_image_is_taken_whatever_its_uids_are(ct, noted):
    reference, image = ct
    check_same_scan(image, reference, noted)
    check_same_scan(sitk.DICOMOrient(image, "SLA"), reference, noted)


@pytest.mark.parametrize("noted", [{}, source(FRAME), source("")])
def test_other_voxels_on_the_same_grid_are_refused(ct, noted):
    reference, image = ct
    with pytest.raises(DicomError, match="is not the CT that was segmented: 100 % of the voxels"):
        check_same_scan(image + 25, reference, noted)


@pytest.mark.parametrize("change", [thinner, turned, lambda image: image + 25])
def test_another_frame_of_reference_is_refused_where_the_images_differ(ct, change):
    """On another grid too, be it the same body: nothing says then that the place is the same."""
    reference, image = ct
    words = f"in the frame of reference {FRAME}, the CT that was segmented in {OTHER_FRAME}.*--reference_dicom"
    with pytest.raises(DicomError, match=words):
        check_same_scan(change(image), reference, source(OTHER_FRAME))


def test_another_grid_of_the_same_frame_of_reference_is_taken_with_a_word(ct, caplog):
    reference, image = ct
    check_same_scan(thinner(turned(image)), reference, source(FRAME))
    assert "is not on the grid of" in caplog.text and "one frame of reference" in caplog.text


@pytest.mark.parametrize("noted", [{}, source("")])
def test_another_grid_without_a_frame_of_reference_is_compared_by_its_tissue(ct, noted, caplog):
    reference, image = ct
    check_same_scan(thinner(image), reference, noted)
    assert "check that both are of one scan" in caplog.text
    with pytest.raises(DicomError, match="another grid, and 100 % of the tissue differs"):
        check_same_scan(thinner(turned(image)), reference, noted)


@pytest.mark.parametrize(("columns", "refused"), [(4, False), (6, True)])
def test_a_fifth_of_the_tissue_may_differ(ct, columns, refused):
    """Of 20 columns of tissue 4 or 6 are air in the CT: 20 or 30 %."""
    reference, image = ct
    values = sitk.GetArrayFromImage(image)
    values[:, :, 20 : 20 + columns] = -800
    changed = sitk.GetImageFromArray(values)
    changed.CopyInformation(image)
    if refused:
        with pytest.raises(DicomError, match="and 30 % of the tissue differs"):
            check_same_scan(changed[:, :, 1:], reference, {})
    else:
        check_same_scan(changed[:, :, 1:], reference, {})


def test_nothing_in_common_is_nothing_to_compare(ct, caplog):
    reference, image = ct
    image = sitk.Image(image)
    image.SetOrigin(np.add(image.GetOrigin(), (0, 0, 500)).tolist())
    check_same_scan(image, reference, {})
    assert "shows no tissue of" in caplog.text


def test_a_phase_of_an_average_is_taken_by_its_uid(ct):
    reference, image = ct
    noted = source(OTHER_FRAME, OTHER_FRAME)
    noted["ct"][1]["series_uid"] = reference.series.series_uid
    check_same_scan(image + 25, reference, noted)
    noted["ct"][1]["series_uid"] = "1.2.9"
    with pytest.raises(DicomError, match="frame of reference"):
        check_same_scan(image + 25, reference, noted)
