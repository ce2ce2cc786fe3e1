"""Many trainings of one structure as one batched model: K learning rates, dropouts, seeds at once.

``trials`` is the straight line of K trials, ``fitting`` their training, ``stack`` the K models as
one, ``batches`` what they read, ``draws`` what they draw, ``groups`` which trials go together.
"""

from mmbench.together.groups import groups_of_one_structure, structure
from mmbench.together.trials import Wanted, train_together

__all__ = ["Wanted", "groups_of_one_structure", "structure", "train_together"]
