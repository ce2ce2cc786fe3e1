"""Names to classes, per kind of component, with the plugin each came from."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from mmbench.errors import DuplicateName, UnknownName, did_you_mean

T = TypeVar("T")


class Registry(Mapping[str, type[T]], Generic[T]):
    """A read-only mapping once built; looking up a missing name explains what exists."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._classes: dict[str, type[T]] = {}
        self._owners: dict[str, str] = {}
        self.lost: Sequence[str] = ()
        """Plugins that did not load: what is looked up in vain may be theirs."""

    def check_free(self, cls: type[T], owner: str) -> None:
        """Raise ``DuplicateName``, naming both owners, if there is one of this name."""
        name: str = cls.name  # type: ignore[attr-defined]
        if name in self._classes:
            raise DuplicateName(
                f"{self.kind} {name!r} is registered by both {self._owners[name]} and {owner}. "
                f"Uninstall one, or ask its author to rename it."
            )

    def add(self, cls: type[T], owner: str) -> None:
        name = getattr(cls, "name", None)
        if not isinstance(name, str) or not name:
            raise TypeError(f'{cls!r} from {owner} needs `name = "…"` to be registered.')
        self.check_free(cls, owner)
        self._classes[name], self._owners[name] = cls, owner

    def owner(self, name: str) -> str:
        """The plugin that registered ``name``."""
        self[name]
        return self._owners[name]

    def __getitem__(self, name: str) -> type[T]:
        try:
            return self._classes[name]
        except KeyError:
            raise UnknownName(
                f"There is no {self.kind} named {name!r}.{did_you_mean(name, self._classes)} "
                f"Known: {', '.join(sorted(self._classes))}.{self._lost()}"
            ) from None

    def _lost(self) -> str:
        if not self.lost:
            return ""
        return f" Not loaded: {', '.join(self.lost)}; `mmbench plugins` says why."

    def __contains__(self, name: object) -> bool:
        return name in self._classes

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)
