"""What can go wrong, as one tree; each error also is the builtin that it refines.

    DatakitError                       where, what was found, what was expected, what to do
    ├── UsageFault (ValueError)        the call or the command is wrong                      exit 2
    │   ├── RecipeError                a recipe or a setting, all faults at once             exit 2
    │   ├── InputError                 the input cannot be used                              exit 2
    │   │   ├── MissingInput           … is not there      (FileNotFoundError)
    │   │   ├── InputPermission        … may not be read   (PermissionError)
    │   │   └── NoRows                 … holds no row
    │   ├── OutputError                the output folder cannot be used                      exit 2
    │   ├── MissingExtra (ImportError) an extra of datakit is not installed                  exit 2
    │   └── UnknownVersion             no such dataset or version, or more than one          exit 2
    ├── DataVerdict (ValueError)       the data says no: nothing kept, a version is damaged  exit 1
    │   └── TemplateRaised             a chat template refuses these messages                exit 1
    └── Surroundings (OSError)         disk, network, a killed worker: run again to resume   exit 4

Whatever is none of these is our bug: exit 3.
"""

from __future__ import annotations

from collections.abc import Iterable


class DatakitError(Exception):
    """An error that says where, what was found, what was expected, and what to do.

    Args:
        where: the file, line, key or option that is at fault.
        found: what stands there.
        expected: what should stand there; empty where `found` says it all.
        cure: what to do next, as a sentence.
    """

    exit_code = 3

    def __init__(self, where: str, found: str, expected: str = "", cure: str = "") -> None:
        self.where, self.found, self.expected, self.cure = where, found, expected, cure
        super().__init__(str(self))

    def __reduce__(self) -> tuple[type[DatakitError], tuple[str, str, str, str]]:
        """Pickle by the four parts, so that an error crosses from a worker process whole."""
        return type(self), (self.where, self.found, self.expected, self.cure)

    def __str__(self) -> str:
        """One line: `where: found; expected …. Cure.`."""
        expected = f"; expected {self.expected}" if self.expected else ""
        cure = f". {self.cure}" if self.cure else ""
        return f"{self.where}: {self.found}{expected}{cure}"


class UsageFault(DatakitError, ValueError):
    """The call, the command or a setting is wrong."""

    exit_code = 2


class RecipeError(UsageFault):
    """One or more faults of a recipe; `faults` holds each as an error of its own."""

    def __init__(self, where: str, found: str, expected: str = "", cure: str = "") -> None:
        super().__init__(where, found, expected, cure)
        self.faults: tuple[RecipeError, ...] = (self,)

    @classmethod
    def of(cls, faults: Iterable[RecipeError]) -> RecipeError:
        """All faults as one error, so that none has to be found by a second run."""
        every = tuple(faults)
        if len(every) == 1:
            return every[0]
        whole = cls(f"{len(every)} faults", "".join(f"\n  - {fault}" for fault in every))
        whole.faults = every
        return whole


class InputError(UsageFault):
    """The input cannot be used."""


class MissingInput(InputError, FileNotFoundError):
    """The input is not there."""


class InputPermission(InputError, PermissionError):
    """The input may not be read."""


class NoRows(InputError):
    """The input holds no row."""


class OutputError(UsageFault):
    """The output folder cannot be used."""


class MissingExtra(UsageFault, ImportError):
    """An extra of datakit is not installed."""


class UnknownVersion(UsageFault, LookupError):
    """No dataset or version answers to a reference, or more than one does."""


class DataVerdict(DatakitError, ValueError):
    """The data says no: nothing was kept, or a version is damaged."""

    exit_code = 1


class TemplateRaised(DataVerdict):
    """A chat template refuses the messages it was given; `found` holds its own words."""


class Surroundings(DatakitError, OSError):
    """The surroundings failed: disk, network, a killed worker. Running again resumes."""

    exit_code = 4
