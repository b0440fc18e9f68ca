"""Each fault that is planted is found, and a sound dataset has none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from parts import CAMERA, SIZE, episode, signature
from PIL import Image

from forethought import data
from forethought.data.check import Severity, check
from forethought.data.inspection import contact_sheet, size_on_disk, summary
from forethought.types import ACTION, STATE, Episode, ForethoughtError, Signature


def written(
    path: Path, change: Callable[[int, Episode], Episode], *, count: int = 12, of: Signature
) -> data.Dataset:
    with data.create(path, of) as writer:
        writer.append([change(i, episode(40, seed=i)) for i in range(count)])
    return data.open(path)


def same(index: int, original: Episode) -> Episode:
    return original


def with_values(original: Episode, key: str, values: np.ndarray) -> Episode:
    return replace(original, observation={**original.observation, key: values})


def constant_sensor(index: int, original: Episode) -> Episode:
    state = original.observation[STATE].copy()
    state[:, 1] = 7
    return with_values(original, STATE, state)


def spike(index: int, original: Episode) -> Episode:
    state = original.observation[STATE].copy()
    state[20, 2] += 1000 * (index == 5)
    return with_values(original, STATE, state)


def frozen(index: int, original: Episode) -> Episode:
    images = original.observation[CAMERA].copy()
    images[10:] = images[10]
    return with_values(original, CAMERA, images) if index == 3 else original


def dark(index: int, original: Episode) -> Episode:
    images = np.zeros_like(original.observation[CAMERA])
    return with_values(original, CAMERA, images) if index == 2 else original


def beyond(index: int, original: Episode) -> Episode:
    return replace(original, action=original.action * (1 + (index == 7)))


def still(index: int, original: Episode) -> Episode:
    return replace(original, action=np.zeros_like(original.action))


@pytest.mark.parametrize(
    ("change", "severity", "key", "episode_index", "word"),
    [
        (constant_sensor, Severity.NOTE, STATE, None, "never change: y"),
        (spike, Severity.WARNING, STATE, 5, "spikes"),
        (frozen, Severity.WARNING, CAMERA, 3, "stands still"),
        (dark, Severity.WARNING, CAMERA, 2, "plain"),
        (beyond, Severity.WARNING, f"{ACTION} left", 7, "bounds"),
        (still, Severity.WARNING, ACTION, None, "never change: left, right"),
    ],
)
def test_a_planted_fault_is_found(
    tmp_path: Path,
    change: Callable[[int, Episode], Episode],
    severity: Severity,
    key: str,
    episode_index: int | None,
    word: str,
) -> None:
    findings = check(written(tmp_path / "d", change, of=signature()), visible=False)
    found = [
        f for f in findings if (f.severity, f.key, f.episode) == (severity, key, episode_index)
    ]
    assert any(word in finding.message for finding in found), findings
    assert all(finding.remedy for finding in findings)


def test_a_sound_dataset_has_nothing_to_mend(tmp_path: Path) -> None:
    assert check(written(tmp_path / "d", same, of=signature()), visible=False) == []


def test_too_few_and_too_short_episodes(tmp_path: Path) -> None:
    few = check(written(tmp_path / "few", same, count=1, of=signature()), visible=False)
    assert [f.severity for f in few] == [Severity.ERROR]
    with data.create(tmp_path / "short", signature()) as writer:
        writer.append([episode(40 if i else 3, seed=i) for i in range(12)])
    (finding,) = check(data.open(tmp_path / "short"), visible=False)
    assert finding.severity is Severity.WARNING
    assert finding.episode == 0
    data.create(tmp_path / "none", signature()).close()
    assert check(data.open(tmp_path / "none"), visible=False)[0].severity is Severity.ERROR


def test_rows_that_cannot_be_read_are_errors_that_name_the_episode(tmp_path: Path) -> None:
    with data.create(tmp_path / "d", signature()) as writer:
        for i in range(12):
            writer.append([episode(40, seed=i)])
    dataset = data.open(tmp_path / "d")
    files = sorted((tmp_path / "d" / "data").iterdir(), key=lambda file: file.stat().st_mtime_ns)
    lost = files[4]
    lost.unlink()
    findings = check(dataset, visible=False)
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    assert errors
    assert findings[: len(errors)] == errors
    assert {finding.episode for finding in errors} == {4}


def test_summary_counts_and_measures(tmp_path: Path) -> None:
    dataset = written(tmp_path / "d", same, of=signature())
    found = summary(dataset)
    assert found["facts"]["episodes"] == 12
    assert found["facts"]["rows"] == 480
    assert found["facts"]["minutes"] == pytest.approx(480 / 10 / 60)
    state = dataset.load(keys=[STATE]).observation[STATE].double().numpy()
    rows = {(row["key"], row["entry"]): row for row in found["keys"]}
    assert set(rows) == {
        *((CAMERA, channel) for channel in ("red", "green", "blue")),
        *((STATE, name) for name in "xyz"),
        *((ACTION, name) for name in ("left", "right")),
    }
    row = rows[STATE, "y"]
    assert row["mean"] == pytest.approx(state[:, 1].mean(), rel=1e-3)
    assert row["high"] == pytest.approx(state[:, 1].max(), rel=1e-3)
    assert size_on_disk(dataset.path) > 480 * SIZE * SIZE


def test_contact_sheets_are_pictures(tmp_path: Path) -> None:
    dataset = written(tmp_path / "d", same, of=signature())
    contact_sheet(dataset, tmp_path / "deep" / "sheet.png")
    with Image.open(tmp_path / "deep" / "sheet.png") as sheet:
        assert sheet.width > 600
        assert np.asarray(sheet.convert("L")).std() > 10
    state_only = replace(signature(), observation={STATE: signature().observation[STATE]})
    with data.create(tmp_path / "s", state_only) as writer:
        kept = episode(40)
        writer.append([replace(kept, observation={STATE: kept.observation[STATE]})])
    contact_sheet(data.open(tmp_path / "s"), tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as sheet:
        assert np.asarray(sheet.convert("L")).std() > 10
    data.create(tmp_path / "none", signature()).close()
    with pytest.raises(ForethoughtError, match="no episodes"):
        contact_sheet(data.open(tmp_path / "none"), tmp_path / "none.png")
