"""What a training shows of itself while it runs."""

from __future__ import annotations

import pytest
from training import COMPUTE, KillAt, KilledError, scans, staged

from brainuad.resources import training_progress
from brainuad.resources.clock import Clock
from brainuad.resources.live import read_progress, shown_live
from brainuad.track.live_training import read_trainings
from brainuad.train.fit import TrainingResult, TrainingRun, fit_network

ABOUT = {"stage": "train", "tags": {}, "settings": {}, "seed": 0}


@pytest.mark.parametrize("kills", [(9, 11), (16, 3)])
def test_the_live_curves_are_those_of_the_record_however_often_it_was_killed(kills, tmp_path):
    def turn(*callbacks: KillAt) -> TrainingResult:
        run = TrainingRun(0, COMPUTE, place / "resume" / "k", "k", clock=clock)
        return fit_network(staged(), scans(4, 0), scans(2, 1), run, callbacks)

    place, clock = tmp_path / "train" / "ae" / "seed-0", Clock()
    for kill in kills:
        with pytest.raises(KilledError), shown_live(place, ABOUT, ()):
            turn(KillAt(kill))
    with shown_live(place, ABOUT, ()):
        found = turn()
        (seen,) = read_trainings(tmp_path)
    assert [(point.step, point.name, point.value) for point in seen.points] == found.curves
    assert seen.began == int(clock.started * 1000)


def test_a_training_that_starts_anew_shows_no_point_of_the_old_one(tmp_path):
    place = tmp_path / "train" / "ae" / "seed-0"
    with shown_live(place, ABOUT, ()):
        for end in (9, 100):
            clock = Clock()
            run = TrainingRun(0, COMPUTE, place / "resume" / "k", "k", clock=clock)
            if end == 9:
                with pytest.raises(KilledError):
                    fit_network(staged(), scans(4, 0), scans(2, 1), run, [KillAt(end)])
                for path in run.folder.glob("*.ckpt"):
                    path.write_bytes(b"")  # so that it is put aside
        found = fit_network(staged(), scans(4, 0), scans(2, 1), run)
        (seen,) = read_trainings(tmp_path)
    assert [(point.step, point.name, point.value) for point in seen.points] == found.curves
    assert seen.began == int(clock.started * 1000)


def test_a_training_says_how_far_it_is_in_this_turn_and_in_all(tmp_path, monkeypatch):
    def turn(*callbacks: KillAt) -> None:
        fit_network(staged(), scans(4, 0), scans(2, 1), run, callbacks)

    monkeypatch.setattr(training_progress, "TOLD_SECONDS", 0.0)
    place, parts = tmp_path / "seed-0", len(staged().stages())
    run = TrainingRun(0, COMPUTE, place / "resume" / "k", "k")
    assert read_progress(place, parts, since=0) is None
    with pytest.raises(KilledError):
        turn(KillAt(9))
    first = read_progress(place, parts, since=0)
    assert first.done + first.left == pytest.approx(1)
    assert 0 < first.done < 1
    again = first.at + 0.001
    turn()
    last = read_progress(place, parts, since=again)
    assert last.left == pytest.approx(0)
    assert 0 < last.done < 1, "the first turn does not count"
    assert read_progress(place, parts, since=last.at + 1) is None, "of an earlier run"
