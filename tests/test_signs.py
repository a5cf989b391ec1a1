"""Signs in the logged numbers of a run: each is seen where it is, and not where it is not."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.signs import SIGNS, read_signs


def losses(*values: float, name: str = "loss") -> list[dict[str, float]]:
    return [{"step": float(step), name: value} for step, value in enumerate(values, 1)]


def test_an_empty_history_says_nothing() -> None:
    assert read_signs([]) == {"nan": 0, "loss_ratio": None, "eval_loss_rises": None, "chosen_logp_ratio": None}
    assert set(read_signs([])) == set(SIGNS)


@pytest.mark.parametrize(
    "row", [{"loss": math.nan}, {"loss": math.inf}, {"loss": 0.0, "grad_norm": math.nan}, {"eval_loss": math.nan}]
)
def test_what_is_no_number_is_counted(row: dict[str, float]) -> None:
    assert read_signs([{"step": 1, "loss": 2.0}, {"step": 2, **row}])["nan"] == 1


def test_an_infinite_gradient_alone_is_how_fp16_finds_its_scale() -> None:
    assert read_signs([{"step": 1, "loss": 2.0, "grad_norm": math.inf, "clip_ratio/min": math.nan}])["nan"] == 0


def test_divergence_is_a_ratio_of_windows() -> None:
    assert read_signs(losses(2.0, 2.0, 1.0))["loss_ratio"] is None  # too few to say
    assert read_signs(losses(2, 2, 4, 4))["loss_ratio"] == 2
    assert read_signs(losses(*[2.0] * 10, *[1.0] * 30, *[6.0] * 10))["loss_ratio"] == 3


@given(st.lists(st.floats(0.5, 4.0), min_size=20, max_size=60))
def test_a_window_is_ten_logged_steps(values: list[float]) -> None:
    found = read_signs(losses(*values))["loss_ratio"]
    assert found == pytest.approx((sum(values[-10:]) / 10) / (sum(values[:10]) / 10))


def test_falling_chosen_answers_read_above_one() -> None:
    assert read_signs(losses(-10, -10, -30, -30, name="logps/chosen"))["chosen_logp_ratio"] == 3
    assert read_signs(losses(-30, -30, -10, -12, name="logps/chosen"))["chosen_logp_ratio"] == pytest.approx(11 / 30)


def evaluated(*pairs: tuple[float, float]) -> list[dict[str, float]]:
    return [row for loss, held in pairs for row in ({"step": 0, "loss": loss}, {"step": 0, "eval_loss": held})]


def test_over_fitting_counts_evaluations_in_a_row() -> None:
    assert read_signs(evaluated((3, 3)))["eval_loss_rises"] == 0
    assert read_signs(evaluated((3, 3), (2, 2.5), (1.5, 2.6), (1, 2.7), (0.5, 2.9)))["eval_loss_rises"] == 3
    assert read_signs(evaluated((3, 3), (2, 3.1), (1, 2.9)))["eval_loss_rises"] == 0  # it fell again
    assert read_signs(evaluated((3, 3), (4, 4), (5, 5)))["eval_loss_rises"] == 0  # that is divergence
