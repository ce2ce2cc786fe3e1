"""The contract kit: what built-ins and third-party components both run.

    from mmbench.testing import check_fusion

    def test_contract():
        check_fusion(MyFusion)

Each ``check_*`` runs every promise and raises AssertionError at the first that is broken. To see
each promise as a test of its own, parametrise over ``fusion_checks()`` and the like.
"""

from mmbench.testing.dataset import check_dataset, dataset_checks
from mmbench.testing.encoder import check_encoder, encoder_checks
from mmbench.testing.fusion import check_fusion, fusion_checks
from mmbench.testing.head import check_head, head_checks
from mmbench.testing.installation import check_installed
from mmbench.testing.metric import check_metric, metric_checks
from mmbench.testing.objective import check_objective, objective_checks

__all__ = [
    "check_dataset",
    "check_encoder",
    "check_fusion",
    "check_head",
    "check_installed",
    "check_metric",
    "check_objective",
    "dataset_checks",
    "encoder_checks",
    "fusion_checks",
    "head_checks",
    "metric_checks",
    "objective_checks",
]
