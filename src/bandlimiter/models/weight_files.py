"""What a file of weights holds, read without running any code that it names."""

import pickle
import pickletools
import warnings
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from bandlimiter.errors import LoadError

_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"
_LEGACY_PICKLES = 4
"""A file from before torch 1.6 is a row of pickles; the fourth holds the content."""


class Unread:
    """Stands in a file's content for a Python object, which is not made.

    Making it would run code that the file chooses. Each class of objects has a subclass,
    whose ``kind`` names it.
    """

    kind = ""

    def __new__(cls, *args: object, **kwargs: object) -> "Unread":
        """Take whatever the object would have been made from."""
        return super().__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        """Keep nothing."""


def read_content(path: Path) -> Any:
    """Read a safetensors file or a torch checkpoint onto the CPU; tell them by their content.

    Returns
    -------
    object
        Mostly a dict. Python objects (numpy arrays, a Namespace, an optimizer's classes) are
        `Unread`.

    Raises
    ------
    LoadError
        If the file is missing, damaged, of another kind, or cannot be read without running
        code that it names.
    """
    if not path.is_file():
        raise LoadError(f"expected a weights file, found none at {path}")
    try:
        with path.open("rb") as file:
            head = file.read(9)
        if is_safetensors(path):
            return load_file(path)
    except OSError as error:
        raise LoadError(f"expected a file that can be read, {path} cannot: {error}") from error
    except SafetensorError as error:
        raise LoadError(f"expected a whole safetensors file, {path} is not: {error}") from error
    if path.suffix == ".json":
        raise LoadError(
            f"expected weights, but {path} is JSON; where it is the index of a sharded checkpoint, "
            "save the model's whole state dict as one file"
        )
    if head.startswith(_ZIP):
        _require_checkpoint(path)
    elif head.startswith(_PICKLE):
        _require_torchs_pickle(path)
    else:
        raise LoadError(
            f"expected a safetensors file or a whole torch checkpoint, {path} is damaged or neither"
        )
    return _read_torch(path, zipped=head.startswith(_ZIP))


def is_safetensors(path: Path) -> bool:
    """Whether a file starts like safetensors; a name that says so does where nothing else does."""
    with path.open("rb") as file:
        head = file.read(9)
    if head.startswith((_ZIP, _PICKLE + b"\x02")):
        return False
    # The header's length, in eight bytes of which any real file needs four, and the header.
    return path.suffix == ".safetensors" or (head[4:8] == bytes(4) and head[8:] == b"{")


def is_pickled(path: Path) -> bool:
    """Whether a file starts like a pickle, as checkpoints from before torch 1.6 do."""
    with path.open("rb") as file:
        return file.read(1) == _PICKLE


def kind_of_archive(path: Path) -> str:
    """Return ``checkpoint``, ``torchscript``, ``export`` or ``other``, for a zip archive.

    Raises
    ------
    LoadError
        If the file is no whole archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.rpartition("/")[2] for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise _damaged(path, error) from error
    if "constants.pkl" in names:
        return "torchscript"
    if names & {"archive_format", "serialized_exported_program.json"}:
        return "export"
    return "checkpoint" if "data.pkl" in names else "other"


def _require_checkpoint(path: Path) -> None:
    kind = kind_of_archive(path)
    if kind in ("torchscript", "export"):
        raise LoadError(
            f"expected weights, but {path} holds a whole model (TorchScript or torch.export); give "
            "it as the model itself: --model FILE"
        )
    if kind == "other":
        raise LoadError(f"expected a torch checkpoint, {path} is another kind of zip archive")


def _require_torchs_pickle(path: Path) -> None:
    """Refuse what pickle.dump wrote: its tensors are instructions to run code."""
    try:
        with path.open("rb") as file:
            first = next((n for _, n, _ in pickletools.genops(file) if n not in (2, 3, 4, 5)), None)
    except ValueError as error:
        raise _damaged(path, error) from error
    if first != torch.serialization.MAGIC_NUMBER:
        raise LoadError(
            f"refused {path}: it was written by pickle.dump, and to read it is to run the code "
            "that it names; expected a file of torch.save (where you trust it, load it with "
            "pickle.load and write its state dict with torch.save)"
        )


def _read_torch(path: Path, zipped: bool) -> Any:
    try:
        with (
            path.open("rb") as file,  # by name, PyTorch would go by the suffix
            warnings.catch_warnings(),
            torch.serialization.safe_globals(_stand_ins(path, zipped)),
        ):
            warnings.simplefilter("ignore")  # of pickle's protocols: it reads them or it does not
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file may fail anywhere in the reader
        if isinstance(error, pickle.UnpicklingError):
            raise LoadError(
                f"refused {path}: it is damaged, or holds Python objects that cannot be passed "
                "over, and loading those would run the file's code; expected tensors by name (save "
                "the model's state_dict, or convert the file to safetensors where you trust it)"
            ) from error
        raise _damaged(path, error) from error


def _stand_ins(path: Path, zipped: bool) -> list[Any]:
    """Return what PyTorch's reader makes instead of each class or function that it refuses."""
    if zipped:
        names = set(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    else:
        with path.open("rb") as file:
            names = {name for _ in range(_LEGACY_PICKLES) for name in _named_in(file)}
    return [
        # The one class of objects beside tensors that is filled after it is made.
        (_plain_dict if name == "collections.defaultdict" else _stand_in(name), name)
        for name in sorted(names)
    ]


def _named_in(file: BinaryIO) -> list[str]:
    """Return the classes and functions that the next pickle names, as Python 3 calls them."""
    names = []
    for operation, argument, _ in pickletools.genops(file):
        if operation.name == "GLOBAL":
            module, _, name = str(argument).partition(" ")
            module = IMPORT_MAPPING.get(module, module)
            module, name = NAME_MAPPING.get((module, name), (module, name))
            names.append(f"{module}.{name}")
    return names


def _stand_in(name: str) -> type[Unread]:
    return type("Unread", (Unread,), {"kind": name})


def _plain_dict(*factory: object) -> dict[Any, Any]:
    return {}


def _damaged(path: Path, error: Exception) -> LoadError:
    reason = (str(error).splitlines() or [""])[0]
    # PyTorch's own advice there is to switch the check off that keeps code from running.
    if not reason or "eights only" in reason or "weights_only" in reason:
        reason = f"{type(error).__name__} while reading"
    return LoadError(f"expected a whole torch checkpoint, {path} is damaged or none: {reason}")
