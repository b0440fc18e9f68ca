"""Two rooms with a fixed wall, from nothing, over three training seeds."""

from harness import Benchmark, main
from planning_worlds import measure_world


def measure(benchmark: Benchmark) -> None:
    measure_world(
        benchmark,
        "two_rooms",
        {"success": ">= 0.97", "success_across": ">= 0.95"},
        train_goal="< 60",
    )


if __name__ == "__main__":
    main("demo", measure, seeds=3)
