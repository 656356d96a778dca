"""The strategies and the score the viewers are offered."""

from typing import Any

from igtv.learning.selection import STRATEGIES
from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy

from lib.learning.held_out import HeldOut
from lib.learning.learning_loop import FROZEN_DIR

from .given_out import GivenOut
from .next_case import NextCase
from .score_book import ScoreBook
from .scoring import CaseScorer, ScoreCases

MODEL = "igtv"


def create_strategies(app: Any) -> dict[str, Strategy]:
    """Strategies by name; the first is what Slicer offers first.

    Args:
        app: with `models`, `proposals`, `network`, `folders`, `options`; gets `scorer`.
    """
    app.scorer = CaseScorer(app, app.models[MODEL], ScoreBook(app.folders.scores))
    given_out = GivenOut(app.folders.scores / "given_out.json")
    names = sorted(STRATEGIES, key=lambda name: name != "uncertainty")
    held_out = HeldOut(app.folders.learning / FROZEN_DIR, app.options.frozen_set)
    return {name: NextCase(name, app.scorer, given_out, held_out) for name in names}


def create_scoring_methods(app: Any) -> dict[str, ScoringMethod]:
    """Scores by name.

    Args:
        app: as for `create_strategies`, which comes first.
    """
    return {"tumour_entropy": ScoreCases(app.scorer)}
