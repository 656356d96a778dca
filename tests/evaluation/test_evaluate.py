"""A whole evaluation on small made-up cases: files, summary, report, comparison."""

import csv
import json
from html.parser import HTMLParser

import nibabel as nib
import numpy as np
import pytest
from igtv.evaluation.evaluate import CaseEvaluator, evaluate_predictions
from igtv.evaluation.tables import read_rows, write_rows
from igtv.inference.manifest import json_safe

SPACING_MM = (2.0, 2.0, 3.0)
SHAPE = (24, 20, 18)


def volumes(shift, reference=True):
    label, pred = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    label[6:14, 6:14, 5:13] = reference
    pred[6 + shift : 14 + shift, 6:14, 5:13] = 1
    ct = np.full(SHAPE, -800.0, np.float32)
    ct[label > 0] = 40
    return pred, label, ct, np.where(label > 0, 8.0, 0.5).astype(np.float32)


def evaluate(folder, shifts=(0, 4, 2), pictures=False, **settings):
    evaluator = CaseEvaluator(folder, **settings)
    for number, shift in enumerate(shifts):
        pred, label, ct, pet = volumes(shift)
        evaluator.add(f"P{number}", pred, label, SPACING_MM, *((ct, pet) if pictures else ()))
    return evaluator.finish()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Three cases with Dice 1, 0.5 and 0.75."""
    folder = tmp_path_factory.mktemp("run")
    return folder, evaluate(folder, name="<b>net</b>", note="Data: made up.", pictures=True, resamples=500)


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.links = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]


def test_summary_and_table_hold_the_numbers(run):
    folder, summary = run
    assert summary["n_cases"] == summary["metrics"]["dice"]["n"] == 3
    assert summary["metrics"]["dice"]["mean"] == pytest.approx(0.75)
    assert 0.5 <= summary["metrics"]["dice"]["ci_low"] <= 0.75 <= summary["metrics"]["dice"]["ci_high"] <= 1
    assert summary["coverage_reached"] == {"0.95": pytest.approx(1 / 3), "0.99": pytest.approx(1 / 3)}
    assert summary["worst_cases"] == ["P1", "P2", "P0"]
    assert summary["pooled"]["all_slices"]["dice"] == pytest.approx(0.75)  # equal volumes: pooled = mean
    assert summary["settings"]["seed"] == 0 and summary["settings"]["bootstrap_resamples"] == 500
    assert json.loads((folder / "summary.json").read_text()) == summary
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["case"] for row in rows] == ["P0", "P1", "P2"]
    assert [float(row["dice"]) for row in rows] == pytest.approx([1.0, 0.5, 0.75])
    assert float(rows[1]["centroid_shift_x_mm"]) == pytest.approx(8.0)
    assert float(rows[0]["volume_reference_ml"]) == pytest.approx(512 * 0.012)


def test_nothing_but_the_named_files_is_left(run):
    folder, _ = run
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    pictures = [f"P{number}/evaluation.png" for number in range(3)]
    assert found == [*pictures, "metrics.csv", "report.html", "summary.json"]


def test_report_holds_everything_itself(run):
    folder, _ = run
    text = (folder / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.links and all(link.startswith("data:image/png;base64,") for link in page.links)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert "http" not in text and "@import" not in text and "url(" not in text
    assert "&lt;b&gt;net" in text and "<b>net" not in text
    assert "Data: made up." in text and "not a medical device" in text
    assert str(folder) not in text, "paths may hold names"


def test_report_shows_the_worst_case_first(run):
    folder, _ = run
    text = (folder / "report.html").read_text(encoding="utf-8")
    table = [text.index(f"<tr><td>{case}</td>") for case in ("P1", "P2", "P0")]
    pictures = [text.index(f'alt="Overlay of {case}"') for case in ("P1", "P2", "P0")]
    assert table == sorted(table) and pictures == sorted(pictures)


def test_report_is_small_enough_to_mail_with_a_limit_on_pictures(tmp_path):
    evaluate(tmp_path, pictures=True, resamples=50, report_cases=1)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert text.count('class="case"') == 1 and "2 further cases" in text
    assert len(text) < 1_500_000, "six plots and one picture"


def test_same_seed_same_files(run, tmp_path):
    folder, _ = run
    evaluate(tmp_path, name="<b>net</b>", note="Data: made up.", pictures=True, resamples=500)
    for name in ("metrics.csv", "summary.json", "report.html"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize("by_file", [False, True])
def test_comparison_with_another_run(run, tmp_path, by_file):
    folder, _ = run
    other = folder / "metrics.csv" if by_file else folder
    summary = evaluate(tmp_path, (0, 6, 4), name="worse", compare=other, resamples=50)
    dice = summary["comparison"]["metrics"]["dice"]
    assert dice["mean_difference"] == pytest.approx((0 - 0.25 - 0.25) / 3)
    assert json.loads((tmp_path / "compare.json").read_text()) == json_safe(summary["comparison"])
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f"Compared with {folder.name}" in text and str(folder) not in text


def test_comparison_with_other_patients_fails_but_keeps_the_numbers(run, tmp_path):
    with pytest.raises(ValueError, match="different cases"):
        evaluate(tmp_path, (0, 1), compare=run[0])
    assert (tmp_path / "metrics.csv").is_file()


def test_other_references_of_the_same_size_are_not_compared(run, tmp_path):
    """Of a run whose table has no hash of the masks, only the volume is known."""
    evaluator = CaseEvaluator(tmp_path / "moved", resamples=50, compare=run[0])
    for number in range(3):
        pred, label, *_ = volumes(0)
        evaluator.add(f"P{number}", pred, np.roll(label, 9, axis=0), SPACING_MM)
    with pytest.raises(ValueError, match="P0: the reference .* is another mask"):
        evaluator.finish()
    older = [{key: value for key, value in row.items() if key != "reference_sha256"} for row in read_rows(run[0])]
    write_rows(tmp_path / "older" / "metrics.csv", older)
    evaluate(tmp_path / "again", resamples=50, compare=tmp_path / "older")


def test_what_lies_in_the_folder_is_of_this_run(run, tmp_path):
    """Evaluated again with fewer cases and without pictures and comparison; what is not ours stays."""
    evaluate(tmp_path, pictures=True, resamples=50, compare=run[0])
    (tmp_path / "P1" / "mine.txt").write_text("mine")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "evaluation.png").write_text("of no case")
    evaluate(tmp_path, (0,), resamples=50)
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    mine = ["P1", "P1/mine.txt", "other", "other/evaluation.png"]
    assert found == [*mine[:2], "metrics.csv", *mine[2:], "report.html", "summary.json"]
    assert "Overlay of" not in (tmp_path / "report.html").read_text()


def test_an_earlier_comparison_does_not_stay_beside_the_table_of_a_failed_one(run, tmp_path):
    evaluate(tmp_path, resamples=50, compare=run[0])
    with pytest.raises(ValueError, match="different cases"):
        evaluate(tmp_path, (0, 1), compare=run[0])
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]


def test_comparison_is_looked_for_at_once(tmp_path):
    with pytest.raises(FileNotFoundError, match="no evaluation at .*nowhere"):
        CaseEvaluator(tmp_path, compare=tmp_path / "nowhere")
    (tmp_path / "metrics.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="not a table of an evaluation"):
        CaseEvaluator(tmp_path, compare=tmp_path)


def test_empty_masks_go_through(tmp_path):
    evaluator = CaseEvaluator(tmp_path, resamples=50)
    pred, label, ct, _ = volumes(0)
    none = np.zeros_like(label)
    evaluator.add("good", pred, label, SPACING_MM)
    evaluator.add("missed", none, label, SPACING_MM)
    evaluator.add("free", none, none, SPACING_MM, ct)  # a picture without PET
    evaluator.add("invented", pred, none, SPACING_MM)
    summary = evaluator.finish()
    assert (summary["n_reference_empty"], summary["n_prediction_empty"]) == (2, 1)
    dice = summary["metrics"]["dice"]
    assert (dice["n"], dice["n_undefined"], dice["mean"]) == (2, 2, 0.5)
    assert summary["metrics"]["hd95_mm"]["n"] == 1
    assert summary["lesions"] == {"lesion_tp": 1, "lesion_fp": 1, "lesion_fn": 1}
    assert summary["worst_cases"] == ["missed", "good", "invented", "free"]
    assert "NaN" not in (tmp_path / "summary.json").read_text()
    assert (tmp_path / "free" / "evaluation.png").is_file()
    assert not (tmp_path / "good").exists(), "no CT, no picture"
    # and back again, as the other run of a comparison
    evaluator = CaseEvaluator(tmp_path / "again", resamples=50, compare=tmp_path)
    for row in read_rows(tmp_path):
        evaluator.add_row(row)
    assert evaluator.finish()["comparison"]["metrics"]["dice"]["n"] == 2


def test_no_target_anywhere(tmp_path):
    evaluator = CaseEvaluator(tmp_path, resamples=50)
    none = np.zeros(SHAPE, np.uint8)
    evaluator.add("free", none, none, SPACING_MM)
    assert evaluator.finish()["metrics"]["dice"]["n"] == 0
    assert (tmp_path / "report.html").is_file()


def test_errors_name_the_case(tmp_path):
    evaluator = CaseEvaluator(tmp_path)
    pred, label, *_ = volumes(0)
    with pytest.raises(ValueError, match="nothing to evaluate"):
        evaluator.finish()
    evaluator.add("P0", pred, label, SPACING_MM)
    with pytest.raises(ValueError, match="P0 was evaluated before"):
        evaluator.add("P0", pred, label, SPACING_MM)
    with pytest.raises(ValueError, match="P1: prediction"):
        evaluator.add("P1", pred[1:], label, SPACING_MM)
    with pytest.raises(ValueError, match="prediction of P1 .*threshold"):
        evaluator.add("P1", pred * 0.7, label, SPACING_MM)
    with pytest.raises(ValueError, match="cannot name an output folder"):
        evaluator.add("../P1", pred, label, SPACING_MM)


def save(path, array, spacing_mm=SPACING_MM, flip=False):
    """NIfTI in RAS, or the same voxels in space stored in LPS order as DICOM converters do."""
    affine = np.diag([*spacing_mm, 1.0])
    if flip:
        array = array[::-1, ::-1]
        affine[:2, :2] *= -1
        affine[:2, 3] = (np.array(array.shape[:2]) - 1) * spacing_mm[:2]
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.ascontiguousarray(array), affine), path)
    return str(path)


def make_files(root):
    cases = []
    for number, shift in enumerate((0, 4)):
        pred, label, ct, pet = volumes(shift)
        folder = root / f"P{number}"
        case = {"ct": save(folder / "ct.nii.gz", ct, flip=True), "label": save(folder / "gtv.nii.gz", label)}
        case["pet"] = save(folder / "pet.nii.gz", pet[::2, ::2, ::2], (4.0, 4.0, 6.0))
        case["pred"] = save(folder / "pred.nii.gz", pred, flip=True)
        cases.append(case)
    return cases


# two processes: 20 s for their imports alone
@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_evaluation_of_files_in_any_orientation(tmp_path, workers):
    out = tmp_path / "out"
    summary = evaluate_predictions(make_files(tmp_path), out, workers=workers, progress=False, resamples=50)
    assert summary["metrics"]["dice"]["mean"] == pytest.approx(0.75)
    assert summary["metrics"]["centroid_shift_x_mm"]["max"] == pytest.approx(8.0)  # to the right, not mirrored
    assert sorted(path.parent.name for path in out.glob("*/evaluation.png")) == ["P0", "P1"]


def test_evaluation_of_arrays(tmp_path):
    pred, label, *_ = volumes(4)
    case = {"case": "A", "pred": pred, "label": label, "spacing_mm": SPACING_MM}
    summary = evaluate_predictions([case], tmp_path, progress=False)
    assert summary["metrics"]["dice"]["mean"] == pytest.approx(0.5)
    del case["spacing_mm"]
    with pytest.raises(ValueError, match="A: .*spacing_mm"):
        evaluate_predictions([case], tmp_path, progress=False)


def test_a_patient_id_beside_the_case_is_the_patient(tmp_path):
    pred, label, *_ = volumes(4)
    entry = {"pred": pred, "label": label, "spacing_mm": SPACING_MM, "patient_id": "A"}
    cases = [{**entry, "case": f"A_{number}"} for number in range(3)]
    summary = evaluate_predictions(cases, tmp_path, progress=False, resamples=50)
    assert (summary["n_cases"], summary["n_patients"]) == (3, 1)
    cases[0]["patient"] = "B"
    assert evaluate_predictions(cases, tmp_path, progress=False, resamples=50)["n_patients"] == 2


def test_files_that_do_not_fit(tmp_path):
    case = make_files(tmp_path)[0]
    quiet = {"output_dir": tmp_path / "out", "progress": False}
    with pytest.raises(ValueError, match="come more often"):
        evaluate_predictions([case, case], **quiet)
    with pytest.raises(FileNotFoundError, match="P0: the pred is missing"):
        evaluate_predictions([case | {"pred": str(tmp_path / "none.nii.gz")}], **quiet)
    with pytest.raises(ValueError, match="P0: there is no prediction"):
        evaluate_predictions([{key: case[key] for key in ("ct", "label")}], **quiet)
    with pytest.raises(ValueError, match="P0: evaluation needs a reference"):
        evaluate_predictions([{key: case[key] for key in ("ct", "pred")}], **quiet)
    moved = save(tmp_path / "P9" / "pred.nii.gz", volumes(0)[0], (2.0, 2.0, 4.0))
    with pytest.raises(ValueError, match="P0: the prediction lies on another grid"):
        evaluate_predictions([case | {"pred": moved}], **quiet)
