"""Searches, trials and final evaluations as MLflow runs. Nothing else of mmbench imports it."""

from mmbench.tracking.final import Evaluated
from mmbench.tracking.search_run import SearchRun
from mmbench.tracking.store import store_uri, ui_command
from mmbench.tracking.tracker import Tracker

__all__ = ["Evaluated", "SearchRun", "Tracker", "store_uri", "ui_command"]
