"""The estimate of a line's quality, against values of ITU-T G.107 and G.113."""

from __future__ import annotations

import pytest

from piopiy_pipeline.metrics.voice_quality import mos_estimate, r_factor


def test_a_perfect_line_is_a_good_one() -> None:
    assert mos_estimate(loss=0.0) == pytest.approx(4.39, abs=0.02)


def test_loss_costs_what_g107_says() -> None:
    # Ie,eff = 95 * Ppl / (Ppl + Bpl) with Ppl = 5 %, Bpl = 25.1 (G.711 with concealment): 15.78
    assert r_factor(loss=0.0) - r_factor(loss=0.05) == pytest.approx(95 * 5 / 30.1, abs=1e-9)


def test_delay_beyond_177_ms_costs_more() -> None:
    short = r_factor(loss=0, round_trip_s=0.1) - r_factor(loss=0, round_trip_s=0.2)
    long = r_factor(loss=0, round_trip_s=0.5) - r_factor(loss=0, round_trip_s=0.6)
    assert short == pytest.approx(0.024 * 50)
    assert long == pytest.approx((0.024 + 0.11) * 50)


@pytest.mark.parametrize(("loss", "jitter_s"), [(1.0, 0.0), (0.5, 1.0), (-1.0, 0.0), (7.0, 100.0)])
def test_it_stays_on_its_scale(loss: float, jitter_s: float) -> None:
    assert 1.0 <= mos_estimate(loss=loss, jitter_s=jitter_s) <= 4.5
