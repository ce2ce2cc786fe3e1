"""Distributions as an installer leaves them, in a folder of their own: no installer is needed."""

import hashlib
import importlib
import sys
from pathlib import Path

FUSION = '''"""{about}"""
from mmbench.api import Fusion, hookimpl

class Good(Fusion):
    """{about}"""
    name = "{fusion}"
    def __init__(self, dims):
        super().__init__(dims)
        self.out_dim = next(iter(dims.values()))
    def forward(self, features):
        return next(iter(features.values())).pooled

@hookimpl
def register_fusions():
    return [Good]
'''


def fusion(name: str, about: str = "The first modality.") -> str:
    """The code of a plugin with one fusion."""
    return FUSION.format(fusion=name, about=about)


class Site:
    """A folder on the path with modules and their dist-infos."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(
        self,
        distribution: str,
        code: str,
        *,
        version: str = "1.0",
        plugin: str | None = None,
        module: str | None = None,
        requires: str = "",
        metadata: str = "",
    ) -> Path:
        """The module's file. The plugin has the distribution's name unless another is given."""
        module = module or distribution.replace("-", "_")
        path = self.folder / f"{module}.py"
        path.write_text(code)
        forget(module)
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        lines = [f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"]
        lines += [f"Requires-Dist: {requires}\n"] if requires else []
        (info / "METADATA").write_text("".join(lines) + metadata)
        (info / "entry_points.txt").write_text(f"[mmbench]\n{plugin or distribution} = {module}\n")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        (info / "RECORD").write_text(f"{path.name},sha256={digest},{path.stat().st_size}\n")
        importlib.invalidate_caches()
        return path


def forget(module: str) -> None:
    for name in [n for n in sys.modules if n == module or n.startswith(f"{module}.")]:
        del sys.modules[name]
