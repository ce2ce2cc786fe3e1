"""Rows of several tasks ranked together; start with ``summary``."""

from mmbench.leaderboard.across.summary import Across, across

__all__ = ["Across", "across"]
