"""The contract kit: what built-ins and third-party components both run.

    from mmbench.testing import fusion_contract
    from my_fusion import MyFusion

    TestContract = fusion_contract(MyFusion)

makes each promise a test of its own, and so for every kind of component. ``check_fusion(MyFusion)``
and the like ask for all promises at once and raise AssertionError at the first that is broken;
``fusion_checks()`` and the like are the promises themselves.
"""

from mmbench.testing.columns import example_column
from mmbench.testing.command import check_commands, command_checks
from mmbench.testing.dataset import check_dataset, dataset_checks
from mmbench.testing.encoder import check_encoder, encoder_checks
from mmbench.testing.fusion import check_fusion, fusion_checks
from mmbench.testing.head import check_head, head_checks
from mmbench.testing.installation import check_installed
from mmbench.testing.kinds import (
    command_contract,
    dataset_contract,
    encoder_contract,
    fusion_contract,
    head_contract,
    metric_contract,
    objective_contract,
)
from mmbench.testing.metric import check_metric, metric_checks
from mmbench.testing.noise import check_noise, noise_checks
from mmbench.testing.objective import check_objective, objective_checks

__all__ = [
    "check_commands",
    "check_dataset",
    "check_encoder",
    "check_fusion",
    "check_head",
    "check_installed",
    "check_metric",
    "check_noise",
    "check_objective",
    "command_checks",
    "command_contract",
    "dataset_checks",
    "dataset_contract",
    "encoder_checks",
    "encoder_contract",
    "example_column",
    "fusion_checks",
    "fusion_contract",
    "head_checks",
    "head_contract",
    "metric_checks",
    "metric_contract",
    "noise_checks",
    "objective_checks",
    "objective_contract",
]
