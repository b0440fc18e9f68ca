"""A real six-axis arm, from logged angles, velocities and torques."""

import tarfile
from pathlib import Path

from forethought.data.importers import ImportSettings
from harness import Benchmark, main, recordings
from real_recordings import add_state_figures, measure_recording

MAPPING = Path(__file__).parent.parent / "examples" / "mappings" / "schunk_arm.yaml"


def measure(benchmark: Benchmark) -> None:
    source = benchmark.folder("source")
    with tarfile.open(recordings(benchmark) / "schunk_arm" / "measurements.tar.gz") as archive:
        archive.extractall(source, filter="data")
    settings = ImportSettings(mapping=MAPPING)
    results = measure_recording(benchmark, "schunk_arm", source, settings, "fast_robot_arm")
    add_state_figures(benchmark, "schunk_arm", results)


if __name__ == "__main__":
    main("schunk_arm", measure, seeds=2)
