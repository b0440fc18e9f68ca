"""The configurator: the task file, what it sets in an agent, and what is wrong with it."""

from forethought.configurator.check import Finding, TaskReport, check_task
from forethought.configurator.goals import Leg, Overdue, ShownGoal
from forethought.configurator.measures import Standing, Support
from forethought.configurator.reading import read_task, task_schema
from forethought.configurator.recorded import Recorded, recorded_of
from forethought.configurator.sequence import Outcome, Progress, SequencedAgent
from forethought.configurator.task import Budget, Search, Task

__all__ = [
    "Budget",
    "Finding",
    "Leg",
    "Outcome",
    "Overdue",
    "Progress",
    "Recorded",
    "Search",
    "SequencedAgent",
    "ShownGoal",
    "Standing",
    "Support",
    "Task",
    "TaskReport",
    "check_task",
    "read_task",
    "recorded_of",
    "task_schema",
]
