"""The configurator: the task file, what it sets in an agent, and what is wrong with it."""

from forethought.configurator.check import Finding, TaskReport, check_task
from forethought.configurator.goals import Leg, Overdue, ShownGoal
from forethought.configurator.measures import Standing, Support
from forethought.configurator.reading import read_task, task_schema
from forethought.configurator.recorded import Recorded, recorded_of
from forethought.configurator.sequence import Outcome, Progress, SequencedAgent, agent_for, planning
from forethought.configurator.settings import Following, Gating, Recalling
from forethought.configurator.task import Budget, Search, Task

__all__ = [
    "Budget",
    "Finding",
    "Following",
    "Gating",
    "Leg",
    "Outcome",
    "Overdue",
    "Progress",
    "Recalling",
    "Recorded",
    "Search",
    "SequencedAgent",
    "ShownGoal",
    "Standing",
    "Support",
    "Task",
    "TaskReport",
    "agent_for",
    "check_task",
    "planning",
    "read_task",
    "recorded_of",
    "task_schema",
]
