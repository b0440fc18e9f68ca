"""Pendulum-v1 from 64x64 pixels: swing up, stay upright for the last 20 of 200 steps."""

from harness import Benchmark, main
from planning_worlds import measure_world


def measure(benchmark: Benchmark) -> None:
    measure_world(benchmark, "pendulum", {"success": ">= 0.95"}, train_goal="< 300")


if __name__ == "__main__":
    main("pendulum", measure, seeds=3)
