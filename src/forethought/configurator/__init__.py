"""The configurator: the task file, what it sets in an agent, and what is wrong with it."""

from forethought.configurator.reading import read_task, task_schema
from forethought.configurator.task import Search, ShownGoal, Task

__all__ = ["Search", "ShownGoal", "Task", "read_task", "task_schema"]
