"""SUV rules on headers: factors worked out by hand, refusals name the tag."""

import math

import numpy as np
import pytest
from igtv.dicom import suv_factors
from igtv.dicom.errors import DicomError
from igtv.dicom.suv import suv_scale
from igtv.dicom.suv_body import ideal_weight_kg, lean_mass_james_kg, surface_cm2
from igtv.dicom.suv_times import average_time_s
from pydicom.dataset import Dataset

HALF_LIFE = 6586.2
# 80 kg, 400 MBq, one hour: 80000 g / (4e8 Bq * 2^(-3600 s / 6586.2 s))
PLAIN = 80000 / (4e8 * 2 ** (-3600 / HALF_LIFE))


def factor(header) -> float:
    return suv_factors([header])[0]


def private(header, group, element, value, vr="DS", creator=None):
    if creator:
        header.add_new((group, 0x10), "LO", creator)
    header.add_new((group, 0x1000 | element), vr, value)
    return header


def test_weight_over_the_dose_left_is_the_factor(pet_header):
    assert factor(pet_header()) == pytest.approx(PLAIN, rel=1e-9)


def test_the_factor_one_half_life_after_the_injection():
    """One half-life after the injection half the dose is left: 70 kg, 350 MBq give 70000 / 175e6 = 4e-4."""
    from_header = Dataset()
    item = Dataset()
    item.RadionuclideTotalDose, item.RadionuclideHalfLife, item.RadiopharmaceuticalStartTime = "3.5e8", "3600", "0900"
    from_header.RadiopharmaceuticalInformationSequence = [item]
    from_header.Units, from_header.DecayCorrection, from_header.PatientWeight = "BQML", "START", "70"
    from_header.SeriesTime = from_header.AcquisitionTime = "100000.00"
    assert factor(from_header) == pytest.approx(4e-4, rel=1e-9)


def test_admin_needs_no_decay(pet_header):
    header = pet_header(DecayCorrection="ADMIN", AcquisitionTime=None, RadionuclideHalfLife=None)
    assert factor(header) == pytest.approx(80000 / 4e8, rel=1e-9)


def test_none_decays_every_slice_from_its_own_time(pet_header):
    common = {"DecayCorrection": "NONE", "CorrectedImage": ["ATTN"], "ActualFrameDuration": "600000"}
    headers = [pet_header(AcquisitionTime=time, **common) for time in ("110000", "111000")]
    mean = average_time_s(HALF_LIFE, 600)
    expected = [80000 / (4e8 * 2 ** (-(3600 + late + mean) / HALF_LIFE)) for late in (0, 600)]
    assert suv_factors(headers) == pytest.approx(expected, rel=1e-9)


def test_average_time_is_where_the_mean_activity_is():
    duration, rate = 1800.0, math.log(2) / HALF_LIFE
    times = np.linspace(0, duration, 200001)
    mean = np.mean(np.exp(-rate * times))
    assert average_time_s(HALF_LIFE, duration) == pytest.approx(-math.log(mean) / rate, abs=1e-2)
    assert average_time_s(HALF_LIFE, duration) < duration / 2


def test_beds_of_one_scan_share_the_scan_start(pet_header):
    """Other makers count frame times from the scan's start to the frame's mean, GE to the frame's start."""
    mean = average_time_s(HALF_LIFE, 120)
    others = [
        pet_header(AcquisitionTime=time, FrameReferenceTime=str(1000 * (start + mean)))
        for time, start in (("110000", 0), ("110200", 120), ("110400", 240))
    ]
    assert suv_factors(others) == pytest.approx([PLAIN] * 3, rel=1e-4)
    ge = [
        pet_header(AcquisitionTime=time, FrameReferenceTime=str(1000 * start), Manufacturer="GE MEDICAL SYSTEMS")
        for time, start in (("110000", 0), ("110200", 120), ("110400", 240))
    ]
    assert suv_factors(ge) == pytest.approx([PLAIN] * 3, rel=1e-9)


def test_series_time_of_processing_is_not_the_scan(pet_header):
    """A series written half an hour later: the frame times lead back to 11:00."""
    mean = average_time_s(HALF_LIFE, 120)
    header = pet_header(SeriesTime="113000", AcquisitionTime="110200", FrameReferenceTime=str(1000 * (120 + mean)))
    assert factor(header) == pytest.approx(PLAIN, rel=1e-4)


@pytest.mark.parametrize("creator", ["GEMS_PETD_01", None])
@pytest.mark.parametrize(
    ("value", "vr"), [("20240229110000.00", "DT"), (b"20240229110000.00 ", "UN"), ("110000", "TM")]
)
def test_ge_private_scan_time(pet_header, creator, value, vr):
    header = pet_header(SeriesTime="130000", AcquisitionTime="111500", Manufacturer="GE MEDICAL SYSTEMS")
    private(header, 0x0009, 0x0D, value, vr, creator)
    assert factor(header) == pytest.approx(PLAIN, rel=1e-9)


@pytest.mark.parametrize("maker", ["", "Synthetic"])
def test_ge_private_scan_time_of_a_maker_whose_name_was_removed(pet_header, maker):
    header = pet_header(SeriesTime="130000", AcquisitionTime="111500", Manufacturer=maker)
    private(header, 0x0009, 0x0D, "20240229110000.00", "DT", "GEMS_PETD_01")
    assert factor(header) == pytest.approx(PLAIN, rel=1e-9)


def test_ge_private_scan_time_without_an_acquisition_time(pet_header):
    header = pet_header(SeriesTime="130000", AcquisitionTime=None, Manufacturer="GE MEDICAL SYSTEMS")
    private(header, 0x0009, 0x0D, "20240229110000.00", "DT", "GEMS_PETD_01")
    assert factor(header) == pytest.approx(PLAIN, rel=1e-9)


def test_ge_private_time_of_another_owner_is_not_taken(pet_header):
    header = pet_header(Manufacturer="GE MEDICAL SYSTEMS")
    private(header, 0x0009, 0x0D, "20240229100000.00", "DT", "SOMEBODY ELSE")
    assert factor(header) == pytest.approx(PLAIN, rel=1e-9)


def test_ge_private_date_that_was_not_shifted_with_the_others(pet_header):
    header = pet_header(SeriesTime="130000", AcquisitionTime="111500", Manufacturer="GE MEDICAL SYSTEMS")
    private(header, 0x0009, 0x0D, "19990101110000.00", "DT", "GEMS_PETD_01")
    assert factor(header) == pytest.approx(PLAIN, rel=1e-9)


def test_siemens_private_decay_time(pet_header):
    header = pet_header(SeriesTime="130000", AcquisitionTime="111500", Manufacturer="SIEMENS")
    private(header, 0x0071, 0x22, "20240229110000.000000", "DT", "SIEMENS MED PT")
    assert factor(header) == pytest.approx(PLAIN, rel=1e-9)


@pytest.mark.parametrize(("group_block", "creator"), [(0x1000, "Philips PET Private Group"), (0x1000, None)])
def test_philips_own_factor_to_activity_goes_before_that_to_suv(pet_header, group_block, creator):
    common = {"Units": "CNTS", "Manufacturer": "Philips Medical Systems"}
    direct = private(pet_header(RadionuclideTotalDose=None, **common), 0x7053, 0x00, "0.0005", creator=creator)
    assert factor(direct) == pytest.approx(0.0005)
    activity = private(pet_header(**common), 0x7053, 0x09, "0.5", creator=creator)
    assert factor(activity) == pytest.approx(0.5 * PLAIN, rel=1e-9)
    both = private(private(pet_header(**common), 0x7053, 0x09, "0.5", creator=creator), 0x7053, 0x00, "0.1")
    scale = suv_scale([both])
    assert scale.factors[0] == pytest.approx(0.5 * PLAIN, rel=1e-9)
    assert any("another weight or dose" in line for line in scale.decisions)
    unusable = private(private(pet_header(PatientWeight=None, **common), 0x7053, 0x09, "0.5"), 0x7053, 0x00, "0.1")
    assert factor(unusable) == pytest.approx(0.1)


@pytest.mark.parametrize("value", ["0", "", "none"])
def test_philips_factor_that_says_nothing_is_refused(pet_header, value):
    header = private(pet_header(Units="CNTS", Manufacturer="Philips"), 0x7053, 0x00, value, vr="LO")
    with pytest.raises(DicomError, match="7053,1000"):
        factor(header)


def test_counts_of_other_makers_are_refused(pet_header):
    with pytest.raises(DicomError, match="Philips only"):
        factor(private(pet_header(Units="CNTS", Manufacturer="SIEMENS"), 0x7053, 0x00, "0.0005"))


def test_suv_of_other_body_sizes(pet_header):
    """80 kg, 1.80 m, by hand: James 88 - 25.284 = 62.716 (M), 85.6 - 29.235 = 56.365 (F); ideal 77.68 and 70.98 kg."""
    assert lean_mass_james_kg(80, 1.8, male=True) == pytest.approx(88 - 128 * (80 / 180) ** 2)
    assert ideal_weight_kg(80, 1.8, male=False) == pytest.approx(45.5 + 0.91 * 28)
    for suv_type, sex, mass in (
        ("LBMJAMES128", "M", 62.716),
        ("LBMJAMES128", "F", 56.365),
        ("LBM", "M", 88 - 120 * (80 / 180) ** 2),
        ("LBM", "F", 56.365),
        ("LBMJANMA", "M", 9270 * 80 / (6680 + 216 * 80 / 3.24)),
        ("LBMJANMA", "F", 9270 * 80 / (8780 + 244 * 80 / 3.24)),
        ("IBW", "M", 77.68),
        ("IBW", "F", 70.98),
        ("IBW", "O", (77.68 + 70.98) / 2),
    ):
        header = pet_header(Units="GML", SUVType=suv_type, PatientSex=sex, RadionuclideTotalDose=None)
        assert factor(header) == pytest.approx(80 / mass, rel=1e-4), (suv_type, sex)
    surface = 0.007184 * 80**0.425 * 180**0.725 * 1e4
    assert surface_cm2(80, 1.8) == pytest.approx(surface)
    for suv_type in ("BSA", None):
        assert factor(pet_header(Units="CM2ML", SUVType=suv_type)) == pytest.approx(80000 / surface)


def test_oracle_body_sizes():
    """R01-005 (66 kg, 1.65 m, male): ratios of the published factors per lean mass, surface and ideal weight."""
    height = 1.6499999761581
    bw = 0.000177393
    assert lean_mass_james_kg(66, height, True) / 66 == pytest.approx(0.000140087 / bw, rel=1e-5)
    assert ideal_weight_kg(66, height, True) / 66 == pytest.approx(0.000166051 / bw, rel=1e-5)
    assert surface_cm2(66, height) / 1e4 / 66 == pytest.approx(4.64238e-06 / bw, rel=1e-5)


def test_suv_types_that_contradict_units(pet_header):
    for units, suv_type in (("GML", "BSA"), ("CM2ML", "BW"), ("CM2ML", "IBW")):
        with pytest.raises(DicomError, match="contradict"):
            factor(pet_header(Units=units, SUVType=suv_type))
    with pytest.raises(DicomError, match=r"SUVType \(0054,1006\) XYZ is not known"):
        factor(pet_header(Units="GML", SUVType="XYZ"))


def test_gml_needs_nothing_else(pet_header):
    header = Dataset()
    header.Units = "GML"
    assert factor(header) == 1.0


def test_a_dose_in_mbq_is_recognised_and_other_units_are_refused(pet_header):
    assert factor(pet_header(RadionuclideTotalDose="400")) == pytest.approx(PLAIN, rel=1e-9)
    for value in ("10", "0.4", "400000"):  # mCi? GBq? kBq?
        with pytest.raises(DicomError, match=r"RadionuclideTotalDose \(0018,1074\)"):
            factor(pet_header(RadionuclideTotalDose=value))


def test_weight_and_height_units(pet_header):
    assert factor(pet_header(PatientWeight="80000")) == pytest.approx(PLAIN, rel=1e-9)
    expected = factor(pet_header(Units="GML", SUVType="IBW"))
    assert factor(pet_header(Units="GML", SUVType="IBW", PatientSize="180")) == pytest.approx(expected)
    for weight in ("0.4", "800"):
        with pytest.raises(DicomError, match="PatientWeight"):
            factor(pet_header(PatientWeight=weight))


@pytest.mark.parametrize(
    "injected",
    [
        {"RadiopharmaceuticalStartTime": "233000"},
        {"RadiopharmaceuticalStartTime": None, "RadiopharmaceuticalStartDateTime": "20240228233000"},
        {"RadiopharmaceuticalStartTime": "233000.00", "RadiopharmaceuticalStartDateTime": "20240229233000.00"},
    ],
)
def test_injection_before_midnight(pet_header, injected):
    header = pet_header(SeriesTime="003000", AcquisitionTime="003000", **injected)
    assert factor(header) == pytest.approx(PLAIN, rel=1e-9)


def test_scan_across_midnight(pet_header):
    """Bed 2 starts at 00:01 and carries the date of the series' start, as some scanners write it."""
    ge = {"Manufacturer": "GE MEDICAL SYSTEMS", "SeriesTime": "235900", "RadiopharmaceuticalStartTime": "225900"}
    for date in ("20240229", "20240301"):
        headers = [
            pet_header(AcquisitionTime="235900", FrameReferenceTime="0", **ge),
            pet_header(AcquisitionTime="000100", FrameReferenceTime="120000", AcquisitionDate=date, **ge),
        ]
        assert suv_factors(headers) == pytest.approx([PLAIN] * 2, rel=1e-9)


@pytest.mark.parametrize("day", ["20240301", "20240228", "20190101"])
def test_shifted_injection_date_keeps_its_time_of_day(pet_header, day):
    header = pet_header(RadiopharmaceuticalStartDateTime=f"{day}100000.00")
    scale = suv_scale([header])
    assert scale.factors[0] == pytest.approx(PLAIN, rel=1e-9)
    assert any("shifted dates" in line for line in scale.decisions)


def test_times_of_day_do_where_dates_are_missing(pet_header):
    header = pet_header(SeriesDate=None, AcquisitionDate=None)
    assert factor(header) == pytest.approx(PLAIN, rel=1e-9)
    header = pet_header(
        SeriesDate=None, AcquisitionDate=None, RadiopharmaceuticalStartTime=None,
        RadiopharmaceuticalStartDateTime="20240229100000",
    )  # fmt: skip
    assert factor(header) == pytest.approx(PLAIN, rel=1e-9)


def test_time_zone_of_the_injection(pet_header):
    header = pet_header(
        RadiopharmaceuticalStartTime=None, RadiopharmaceuticalStartDateTime="20240229090000+0000",
        TimezoneOffsetFromUTC="+0100",
    )  # fmt: skip
    assert factor(header) == pytest.approx(PLAIN, rel=1e-9)


def test_contradicting_injection_times_are_refused(pet_header):
    with pytest.raises(DicomError, match="differ by 60 minutes"):
        factor(pet_header(RadiopharmaceuticalStartDateTime="20240229090000"))


@pytest.mark.parametrize(("half_life", "minutes"), [("4057.74", 45), ("1223.4", 20)])  # Ga-68, C-11
def test_other_short_lived_nuclides(pet_header, half_life, minutes):
    header = pet_header(RadionuclideHalfLife=half_life, RadiopharmaceuticalStartTime=f"10{60 - minutes:02d}00")
    expected = 80000 / (4e8 * 2 ** (-60 * minutes / float(half_life)))
    assert factor(header) == pytest.approx(expected, rel=1e-9)


def test_long_lived_nuclide_needs_its_date(pet_header):
    """Zr-89, three days after the injection."""
    common = {"RadionuclideHalfLife": "282240", "RadionuclideTotalDose": "70000000"}
    dated = pet_header(RadiopharmaceuticalStartDateTime="20240226110000", RadiopharmaceuticalStartTime=None, **common)
    assert factor(dated) == pytest.approx(80000 / (7e7 * 2 ** (-3 * 86400 / 282240)), rel=1e-9)
    with pytest.raises(DicomError, match=r"RadiopharmaceuticalStartDateTime \(0018,1078\) is missing"):
        factor(pet_header(**common))
    with pytest.raises(DicomError, match="the day cannot be told"):
        factor(pet_header(RadiopharmaceuticalStartDateTime="20240301100000", **common))


def test_nuclide_and_half_life(pet_header):
    code = Dataset()
    code.CodeMeaning = "^18^Fluorine"
    assert factor(pet_header(RadionuclideCodeSequence=[code])) == pytest.approx(PLAIN, rel=1e-9)
    with pytest.raises(DicomError, match="that of F18 is 6586 s"):
        factor(pet_header(RadionuclideCodeSequence=[code], RadionuclideHalfLife="109.8"))  # minutes
    scale = suv_scale([pet_header(RadionuclideCodeSequence=[code], RadionuclideHalfLife="4057.74")])
    assert any("GA68, although the nuclide is labelled F18" in line for line in scale.decisions)


@pytest.mark.parametrize("start", ["120000", "1000"])
def test_implausible_uptake_time_is_refused(pet_header, start):
    """Injected after the scan; scanned 13 half-lives later by the clock."""
    header = pet_header(RadiopharmaceuticalStartTime=start, **({"SeriesTime": "235900", "AcquisitionTime": "235900"}
                        if start == "1000" else {}))  # fmt: skip
    with pytest.raises(DicomError, match="between injection"):
        factor(header)


@pytest.mark.parametrize(
    ("keyword", "tag"),
    [
        ("Units", "0054,1001"),
        ("DecayCorrection", "0054,1102"),
        ("PatientWeight", "0010,1030"),
        ("RadionuclideTotalDose", "0018,1074"),
        ("RadionuclideHalfLife", "0018,1075"),
        ("RadiopharmaceuticalStartTime", "0018,1072"),
        ("RadiopharmaceuticalInformationSequence", "0054,0016"),
        ("AcquisitionTime", "0008,0032"),
    ],
)
def test_missing_tag_is_named(pet_header, keyword, tag):
    with pytest.raises(DicomError, match=tag):
        factor(pet_header(**{keyword: None}))
    if keyword != "RadiopharmaceuticalInformationSequence":
        with pytest.raises(DicomError, match=tag):
            factor(pet_header(**{keyword: ""}))


@pytest.mark.parametrize(
    ("keyword", "tag"), [("FrameReferenceTime", "0054,1300"), ("ActualFrameDuration", "0018,1242")]
)
def test_frame_times_are_needed_when_the_series_starts_elsewhere(pet_header, keyword, tag):
    with pytest.raises(DicomError, match=tag):
        factor(pet_header(AcquisitionTime="110200", **{keyword: None}))


@pytest.mark.parametrize(
    ("suv_type", "keyword", "tag"),
    [
        ("LBMJAMES128", "PatientSex", "0010,0040"),
        ("IBW", "PatientSize", "0010,1020"),
        ("IBW", "PatientWeight", "0010,1030"),
    ],
)
def test_body_sizes_need_their_tags(pet_header, suv_type, keyword, tag):
    with pytest.raises(DicomError, match=tag):
        factor(pet_header(Units="GML", SUVType=suv_type, **{keyword: None}))


@pytest.mark.parametrize("units", ["BQML", "GML", "CM2ML"])
def test_values_that_are_no_uptake_are_refused_in_any_unit(pet_header, units):
    """A scanner that computes SUV itself does so without attenuation correction too."""
    with pytest.raises(DicomError, match="lacks ATTN: not attenuation corrected"):
        factor(pet_header(Units=units, CorrectedImage=["NORM", "DECY"]))
    with pytest.raises(DicomError, match="is TRANSMISSION"):
        factor(pet_header(Units=units, CountsSource="TRANSMISSION"))


def test_contradictions_are_refused(pet_header):
    with pytest.raises(DicomError, match="lacks ATTN"):
        factor(pet_header(CorrectedImage=["NORM", "DECY"]))
    with pytest.raises(DicomError, match="contradict each other on decay"):
        factor(pet_header(CorrectedImage=["ATTN"]))
    with pytest.raises(DicomError, match="contradict each other on decay"):
        factor(pet_header(DecayCorrection="NONE"))
    with pytest.raises(DicomError, match="is SOMETHING"):
        factor(pet_header(DecayCorrection="SOMETHING"))
    with pytest.raises(DicomError, match="PatientWeight .* differs between slices"):
        suv_factors([pet_header(), pet_header(PatientWeight="81")])
    with pytest.raises(DicomError, match="RadionuclideTotalDose .* differs between slices"):
        suv_factors([pet_header(), pet_header(RadionuclideTotalDose="390000000")])
    with pytest.raises(DicomError, match="900 s apart"):
        suv_factors([pet_header(Manufacturer="GE"), pet_header(Manufacturer="GE", AcquisitionTime="111500",
                                                                 FrameReferenceTime="0")])  # fmt: skip
    header = pet_header()
    header.RadiopharmaceuticalInformationSequence = list(header.RadiopharmaceuticalInformationSequence) * 2
    with pytest.raises(DicomError, match="names 2 injections"):
        factor(header)
    with pytest.raises(DicomError, match="no PET headers"):
        suv_factors([])


@pytest.mark.parametrize("units", ["PROPCNTS", "CPS", "1CM", "NONE"])
def test_units_without_suv_are_refused(pet_header, units):
    with pytest.raises(DicomError, match=units):
        factor(pet_header(Units=units))
