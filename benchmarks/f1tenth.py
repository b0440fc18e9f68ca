"""A real 1:10 race car, from logged states."""

from pathlib import Path

from forethought.data.importers import ImportSettings
from harness import Benchmark, main, recordings
from real_recordings import add_state_figures, measure_recording

MAPPING = Path(__file__).parent.parent / "examples" / "mappings" / "f1tenth.yaml"


def measure(benchmark: Benchmark) -> None:
    source = recordings(benchmark) / "f1tenth"
    settings = ImportSettings(mapping=MAPPING)
    results = measure_recording(benchmark, "f1tenth", source, settings, "vehicle_state")
    add_state_figures(benchmark, "f1tenth", results)


if __name__ == "__main__":
    main("f1tenth", measure, seeds=3)
