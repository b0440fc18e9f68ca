"""A real RC car with a camera, driven round an indoor track."""

from forethought.data.importers import ImportSettings
from harness import Benchmark, main, recordings
from real_recordings import add_image_figures, measure_recording


def measure(benchmark: Benchmark) -> None:
    source = recordings(benchmark) / "donkeycar_tub" / "tub.tar.gz"
    settings = ImportSettings(episode_length=100)
    results = measure_recording(benchmark, "donkeycar", source, settings, "driving")
    add_image_figures(benchmark, "donkeycar", results)


if __name__ == "__main__":
    main("donkeycar", measure, seeds=2)
