from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of rows with every optional field, written once for all tests of it."""
    from site_rows import full_rows

    from mmbench.leaderboard.site.build import write_site

    site = tmp_path_factory.mktemp("full")
    write_site(site, full_rows(12), [], Path("leaderboards"))
    return site


@pytest.fixture(scope="session")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of the repository's own boards."""
    from site_rows import BOARDS, COMMITTED

    from mmbench.leaderboard.site.build import write_site

    site = tmp_path_factory.mktemp("committed")
    write_site(site, COMMITTED, [], BOARDS)
    return site
