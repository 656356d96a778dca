"""The target's name: preferences, what is never chosen, two hits, aliases."""

import pytest
from igtv.dicom.errors import DicomError
from igtv.dicom.roi_names import AmbiguousRoi, choose_roi, is_igtv, is_named, standing


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["Heart", "GTVp", "ITV", "GTV_MIP", "iGTV_1"], "iGTV_1"),
        (["Heart", "GTVp", "ITV", "GTV_MIP"], "GTV_MIP"),
        (["Heart", "GTVp", "ITV50"], "ITV50"),
        (["Heart", "GTVp1", "GTVn1"], "GTVp1"),
        (["I-GTV", "PTV_IGTV", "CTV_IGTV"], "I-GTV"),
        (["IGTV", "IGTVn", "IGTV_LN4R", "IGTV nodes"], "IGTV"),
        (["IGTV", "zIGTV", "_IGTV", "~IGTV", "IGTV_ring", "IGTV_opt", "IGTV+5mm", "IGTV_3mm"], "IGTV"),
        (["GTV", "Lungs-GTV", "Lung-IGTV", "GTV-PTV", "Body - IGTV"], "GTV"),
        (["GTV_Mass_CT"], "GTV_Mass_CT"),
        (["Tumor_c40", "LN_c40", "Carina_c40", "Vertebra_c40"], "Tumor_c40"),
        (["RUL_GTV", "Tumour bed", "GTVsb"], "RUL_GTV"),
        (["igtv lung", "PTV 60", "iCTV"], "igtv lung"),
        (["GTV_new"], "GTV_new"),
    ],
)
def test_igtv_by_rule(names, expected):
    assert choose_roi(names) == expected
    assert choose_roi(names[::-1]) == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [(["IGTV", "GTV_50"], "GTV_50"), (["GTV_MIP", "GTVp", "GTVn"], "GTVp"), (["ITV", "Tumor_c40"], "Tumor_c40")],
)
def test_gtv_by_rule(names, expected):
    assert choose_roi(names, kind="gtv") == expected


@pytest.mark.parametrize(
    "names", [["GTV_Mass_CT", "GTV_Mass_PET"], ["IGTV1", "iGTV_2"], ["GTV", "GTVp"], ["IGTV", "igtv"]]
)
def test_two_hits_are_named(names):
    with pytest.raises(AmbiguousRoi, match="--roi") as caught:
        choose_roi([*names, "Heart"])
    assert all(repr(name) in str(caught.value) for name in names) and "Heart" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["PTV", "CTV", "iCTV", "PTV_IGTV", "Lungs-GTV", "GTVn", "GTVnd", "GTV_N2", "GTVp+n", "GTV_nodal", "GTVln", "Heart",
     "zGTV", "GTV_ring", "GTV_opt", "GTV+1cm", "GTVsb", "Tumor_bed", "LN_c40", "ring_IGTV"],
)  # fmt: skip
def test_what_is_no_target_is_never_chosen(name):
    with pytest.raises(DicomError, match="no ROI is named as igtv"):
        choose_roi([name])


@pytest.mark.parametrize(
    "name",
    ["IGTV-GTV", "ITV - GTV", "ITV sub GTV", "ITV_not_GTV", "ITV without GTV", "ITV w/o GTV", "ITV_wo_gtv", "ITVnotGTV",
     "IGTV1-GTV", "ITV_50 - iGTV", "ITV-(GTV)", "ITV\u2013GTV", "RUL_ITV-I-GTV", "GTV-GTVn", "IGTV-CTV", "ITV-tumour",
     "GTV - Lungs", "GTV-L Lung", "Tumor-Heart", "IGTV minus bronchus", "IGTV-Bronchus", "GTV-Chest Wall"],
)  # fmt: skip
def test_a_difference_is_no_target(name):
    for kind in ("igtv", "gtv"):
        assert choose_roi(["GTV", name], kind=kind) == "GTV"
        with pytest.raises(DicomError, match="no ROI is named as"):
            choose_roi([name], kind=kind)
    assert not standing(name).eligible


@pytest.mark.parametrize(
    "name",
    ["GTV-LUL", "GTV-T", "GTV-1", "GTV-R", "GTV-p", "GTV-T50", "GTV-PET-CT", "RUL-GTV", "GTV_right_lung",
     "GTV two lungs", "GTV-Lungenherd", "GTV sub-centimetre", "Tumour left lung"],
)  # fmt: skip
def test_a_hyphen_or_an_organ_alone_makes_no_difference(name):
    assert choose_roi([name, "Heart"]) == name


def test_a_hyphen_before_a_node_leaves_a_node():
    assert choose_roi(["GTV", "GTV-N1"], nodes=True) == ["GTV", "GTV-N1"] and standing("GTV-N1").node


def test_nodes_are_taken_along_when_asked():
    names = ["GTVn1", "IGTV", "GTV_LN7", "PTVn", "Heart", "zGTVn"]
    assert choose_roi(names, nodes=True) == ["IGTV", "GTVn1", "GTV_LN7"]
    assert choose_roi(["GTVn"], nodes=True) == ["GTVn"]
    with pytest.raises(DicomError, match="Heart"):
        choose_roi(["Heart"], nodes=True)


def test_roi_goes_before_rules():
    names = ["IGTV", "PTV_60", "Lesion A", "Lesion B"]
    assert choose_roi(names, roi="PTV_60") == "PTV_60"
    assert choose_roi(names, roi="ptv 60") == "PTV_60"
    assert choose_roi(names, roi="ptv*") == "PTV_60"
    assert choose_roi(names, roi=["Lesion*"]) == ["Lesion A", "Lesion B"]
    with pytest.raises(DicomError, match="'Lesion A', 'Lesion B'"):
        choose_roi(names, roi="Lesion*")
    with pytest.raises(DicomError, match="there are: 'IGTV'"):
        choose_roi(names, roi="GTV_x")


def test_a_wildcard_reaches_beyond_the_name_without_it():
    names = ["GTV", "GTV 2", "CTV"]
    assert choose_roi(names, roi=["GTV*"]) == ["GTV", "GTV 2"]
    assert choose_roi(names, roi="gtv") == "GTV"
    with pytest.raises(AmbiguousRoi, match="'GTV', 'GTV 2'"):
        choose_roi(names, roi="GTV*")


def test_a_name_with_commas_is_meant_where_a_command_line_made_a_list_of_it():
    names = ["GTV,5", "GTV", "7"]
    assert choose_roi(names, roi=("GTV", 5)) == "GTV,5"
    assert choose_roi(names, roi=("GTV", 7)) == ["GTV", "7"]  # no such name: two ROIs
    assert choose_roi(names, roi=["GTV", "GTV,5"]) == ["GTV", "GTV,5"]
    assert choose_roi(names, roi=7) == "7"


def test_the_users_words_name_a_roi_but_for_case_and_separators():
    for roi in ("IGTV_AI", "igtv ai", ["Heart", "IGTV-AI"], ("IGTV_AI",)):
        assert is_named("IGTV_AI", roi)
    for roi in (None, "IGTV", "IGTV*", "IGTV?AI", ["*"], 5):
        assert not is_named("IGTV_AI", roi)


def test_aliases_go_before_the_rules(tmp_path):
    path = tmp_path / "aliases.yaml"
    path.write_text("igtv: [Zielvolumen*, Boost]\ngtv: Herd\nignore: [IGTV_old]\n")
    assert choose_roi(["IGTV", "zielvolumen 1"], aliases=path) == "zielvolumen 1"
    assert choose_roi(["IGTV_old", "IGTV"], aliases=str(path)) == "IGTV"
    assert choose_roi(["Herd", "GTV"], kind="gtv", aliases=path) == "Herd"
    with pytest.raises(DicomError, match="alias"):
        choose_roi(["Zielvolumen", "Boost"], aliases=path)


@pytest.mark.parametrize(
    "name", ["IGTV", "i-gtv 2", "ITV50", "GTV_MIP", "gtv 4d", "RUL_IGTV", "L ITV", "Zielvolumen 1"]
)
def test_names_and_aliases_that_say_igtv(name):
    assert is_igtv(name, {"igtv": "Zielvolumen*"})


@pytest.mark.parametrize("name", ["GTV", "MRI_GTV", "MRI-GTV", "GTV_40", "PTV_ITV", "Lung - IGTV", "Zielvolumen 1"])
def test_names_that_do_not_say_igtv(name):
    assert not is_igtv(name, {"gtv": "Zielvolumen*"})


@pytest.mark.parametrize("text", ["[a]", "itv: [x]", "igtv: [1]", "igtv: [a"])
def test_malformed_aliases_are_refused(tmp_path, text):
    path = tmp_path / "aliases.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"aliases\.yaml"):
        choose_roi(["IGTV"], aliases=path)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="igtv, gtv"):
        choose_roi(["IGTV"], kind="ptv")
