"""Two rooms with wall and door drawn per episode: layouts never seen."""

from harness import Benchmark, main
from planning_worlds import measure_world


def measure(benchmark: Benchmark) -> None:
    measure_world(
        benchmark,
        "two_rooms_random",
        {"success": ">= 0.90", "success_across": ">= 0.85"},
        train_goal="< 900",
    )


if __name__ == "__main__":
    main("two_rooms_random", measure, seeds=3, threads=2)
