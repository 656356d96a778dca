"""Evaluation: metrics per patient in mm and ml, threshold baselines, statistics, comparison of two runs, HTML report.

The way of the data: `masks` checks a pair of masks; `overlap`, `surfaces`, `ends` and `lesions` measure it;
`case_metrics` joins the measures to one row per patient and describes the columns; `evaluate` collects the rows of a
run and writes them; `statistics`, `compare` and `report` turn rows into intervals, tests and a page one can mail.
"""
