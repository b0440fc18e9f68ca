"""A real humanoid picking up a bottle: joint states, its camera, and its original videos."""

from forethought.data.importers import ImportSettings, import_dataset
from harness import Benchmark, figure, main, recordings
from real_recordings import add_image_figures, add_state_figures, measure_recording

VIDEO_EPISODES = (10, 28, 29, 30, 31, 59, 63, 82, 88, 99)


def measure(benchmark: Benchmark) -> None:
    source = recordings(benchmark) / "unitree_g1_pick"
    states = measure_recording(
        benchmark, "state", source, ImportSettings(state_only=True), "robot_arm"
    )
    add_state_figures(benchmark, "state", states)
    frames = ImportSettings(frames=source / "frames64_10fps.npz")
    images = measure_recording(benchmark, "images", source, frames, "robot_camera")
    add_image_figures(benchmark, "images", images)
    videos = import_dataset(
        source,
        benchmark.folder("videos") / "data",
        ImportSettings(episodes=VIDEO_EPISODES, image_size=(64, 64)),
        visible=False,
    )
    benchmark.add(figure("rows decoded from AV1 video", videos.num_rows, ">= 1000"))


if __name__ == "__main__":
    main("humanoid", measure, seeds=2)
