"""Hashes of Python values that change when what a value is, or does, may have changed.

A function is its instructions and all that it can reach: what it closes over, its defaults, the
globals that it names, and the attributes that it names of the user's own modules. So a changed
constant or helper counts, in whatever file it is, while comments, docstrings and the rest of the
file do not. What is installed (Python, torch, this package) goes by its name.
"""

import dis
import hashlib
import inspect
import io
import pickletools
import re
import sys
import sysconfig
import types
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from enum import Enum
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch
from torch import nn

_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...), range, slice, PurePath)
_PLAIN_TORCH = (torch.dtype, torch.device, torch.layout, torch.memory_format, torch.Size)
_ADDRESS = r" at 0x[0-9a-fA-F]+"

_INSTALLED = tuple(
    Path(sysconfig.get_path(name)).resolve()
    for name in ("stdlib", "platstdlib", "purelib", "platlib")
)

_TORCHS_OWN = frozenset(vars(nn.Module())) | {"training"}
"""Attributes that every module has: parameters, buffers, parts and hooks have their own way in."""

_HOOKS, _CLASS = "(hooks)", "(class)"  # no attribute's names

_KINDS_OF_HOOKS = (
    *("_forward_hooks", "_forward_pre_hooks"),
    *("_backward_hooks", "_backward_pre_hooks"),
)

_MANGLED = r"[./]?___torch_mangle_\d+"
"""What TorchScript puts before a class's name that it has met before in this process."""


Unit = tuple[int, str]
"""The id of a module's part, and a buffer or attribute of it, or its hooks or its class."""


def hash_of(value: Any, without: frozenset[Unit] = frozenset()) -> str:
    """Return 16 hexadecimal digits that stand for a value.

    Of a module: its structure as ``repr`` shows it, the bytes of its parameters and buffers, hooks,
    and of classes that are not this package's also attributes and code. Of TorchScript, the
    archive that it would be saved as. What ``without`` names is passed over, see `changing`.

    Examples
    --------
    >>> from functools import partial
    >>> hash_of(partial(max, 1)) == hash_of(partial(max, 1))
    True
    >>> hash_of(partial(max, 1)) == hash_of(partial(max, 2))
    False
    """
    digest = _Digest(without)
    digest.add(value)
    return digest.text()


def changing(
    module: nn.Module, run: Callable[[torch.Tensor], object], x: torch.Tensor
) -> set[Unit]:
    """Return what of a module changes while it merely runs: counters, caches, kept activations.

    No setting of its, and another one in each process: no hash should hold it. It is seen by
    running with two inputs; what the first run alone sets up, stays.

    Parameters
    ----------
    module
        Whose parts are looked at.
    run
        Runs the module with inputs like x; what it raises is passed over.
    x
        [1, ...] in [0, 1].
    """
    found = []
    for inputs in (x, 1 - x):
        with suppress(Exception):  # a user's code may raise anything; the run will say so
            run(inputs)
        found.append({key: hash_of(value) for key, value in _units(module)})
    before, after = found
    return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}


def _units(module: nn.Module) -> Iterator[tuple[Unit, Any]]:
    """Yield what is hashed of a module's parts beside parameters, each by itself."""
    for part in module.modules():
        for name, value in part.named_buffers(recurse=False):
            yield (id(part), name), value
        hooks = _hooks(part)
        if hooks:
            yield (id(part), _HOOKS), hooks
        if _is_open(part):
            yield (id(part), _CLASS), type(part)
            for name, value in _own(part).items():
                yield (id(part), name), value


def _hooks(part: nn.Module) -> list[Any]:
    return [hook for kind in _KINDS_OF_HOOKS for hook in getattr(part, kind, {}).values()]


def _is_open(part: nn.Module) -> bool:
    """Whether a part's attributes and code are looked into: those of a user's class."""
    shown_otherwise = (torch.jit.ScriptModule, torch.fx.GraphModule)
    installed = type(part).__module__.startswith(("bandlimiter.", "torch._"))
    return not installed and not isinstance(part, shown_otherwise)


def _own(part: nn.Module) -> dict[str, Any]:
    return {k: v for k, v in sorted(vars(part).items()) if k not in _TORCHS_OWN}


class _Digest:
    """Walks through a value and what it holds; each object is described where it is met first."""

    def __init__(self, without: frozenset[Unit]) -> None:
        self._without = without
        self._sha = hashlib.sha256()
        self._met: dict[int, tuple[int, Any]] = {}  # with the object, so that no id is used again

    def text(self) -> str:
        return self._sha.hexdigest()[:16]

    def add(self, value: Any) -> None:
        """Take in a value of any kind."""
        if isinstance(value, (*_PLAIN, *_PLAIN_TORCH)):
            self._write(type(value).__name__, repr(value))
        elif id(value) in self._met:
            self._write("met", str(self._met[id(value)][0]))
        else:
            self._met[id(value)] = len(self._met), value
            self._describe(value)

    def _describe(self, value: Any) -> None:
        for kinds, describe in self._ways():
            if isinstance(value, kinds):
                describe(value)
                return
        self._object(value)

    def _ways(self) -> list[tuple[Any, Callable[[Any], None]]]:
        return [
            (torch.Tensor, self._tensor),
            (np.ndarray, self._array),
            ((torch.jit.ScriptModule, torch.jit.ScriptFunction), self._script),
            (nn.Module, self._module),
            (types.FunctionType, self._function),
            (types.MethodType, lambda bound: self._all("method", (bound.__func__, bound.__self__))),
            (partial, lambda p: self._all("partial", (p.func, p.args, p.keywords))),
            (types.CodeType, self._code),
            (type, self._class),
            ((property, staticmethod, classmethod), self._wrapped),
            ((types.ModuleType, types.BuiltinFunctionType), lambda thing: self._name(thing)),
            (Enum, lambda member: self._write("enum", repr(member))),
            (Mapping, lambda mapping: self._all("mapping", mapping.items())),
            ((list, tuple), lambda values: self._all(type(values).__name__, values)),
            (
                (set, frozenset),
                lambda values: self._all("set", sorted(hash_of(each) for each in values)),
            ),
        ]

    # --- one kind each ----------------------------------------------------------------

    def _tensor(self, value: torch.Tensor) -> None:
        self._write("tensor", f"{value.dtype} {tuple(value.shape)}")
        if value.is_meta or value.layout != torch.strided or value.is_quantized:
            self._write("as shown", repr(value))
            return
        contiguous = value.detach().cpu().contiguous().resolve_conj().resolve_neg()
        self._sha.update(contiguous.flatten().view(torch.uint8).numpy().data)

    def _array(self, value: np.ndarray) -> None:
        self._write("array", f"{value.dtype} {value.shape}")
        if value.dtype.hasobject:
            self._all("objects", value.ravel().tolist())
        else:
            self._sha.update(np.ascontiguousarray(value).data)

    def _script(self, value: Any) -> None:
        archive = io.BytesIO()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that TorchScript is deprecated
                torch.jit.save(value, archive)
        except RuntimeError:  # optimised for this machine's inference: no archive holds that
            self._write("code", str(getattr(value, "code", "")))
            return
        with zipfile.ZipFile(archive) as members:
            for name in sorted(members.namelist(), key=lambda name: re.sub(_MANGLED, "", name)):
                if name.endswith((".debug_pkl", "serialization_id")):  # line numbers; a checksum
                    continue
                self._write("member", re.sub(_MANGLED, "", name))
                if name.endswith(".pkl"):
                    steps = pickletools.genops(members.read(name))
                    told = (f"{step.name} {argument}" for step, argument, _ in steps)
                    self._write("steps", re.sub(_MANGLED, "", "\n".join(sorted(told))))
                elif name.endswith(".py"):  # whose constants come in the order of a set
                    code = re.sub(_MANGLED, "", members.read(name).decode())
                    self._write("code", "\n".join(sorted(code.splitlines())))
                else:
                    self._sha.update(members.read(name))

    def _module(self, module: nn.Module) -> None:
        self._write("module", repr(module))
        tensors = {**module.state_dict(), **dict(module.named_buffers())}
        parts = dict(module.named_modules())
        for name, value in sorted(tensors.items()):
            owner, _, own_name = name.rpartition(".")
            if (id(parts.get(owner)), own_name) not in self._without:
                self._write("entry", name)
                self.add(value)
        scripted: set[nn.Module] = set()
        for name, part in parts.items():
            if part in scripted:
                continue
            self._write("part", name)
            if (id(part), _HOOKS) not in self._without:
                self._all("hooks", _hooks(part))
            if isinstance(part, torch.jit.ScriptModule):
                self.add(part)
                scripted.update(part.modules())
            elif isinstance(part, torch.fx.GraphModule):
                self._write("graph", part.code)
            elif _is_open(part):
                self._attributes(part)

    def _attributes(self, part: nn.Module) -> None:
        kept = {k: v for k, v in _own(part).items() if (id(part), k) not in self._without}
        self.add(kept)
        if (id(part), _CLASS) not in self._without:
            self.add(type(part))

    def _function(self, function: types.FunctionType) -> None:
        original = getattr(function, "_torchdynamo_orig_callable", None)
        if original is not None:  # compiled by torch.compile: what it is made of
            self.add(original)
            return
        self._name(function)
        if not _is_own(function):
            return
        self.add(function.__code__)
        self._all("defaults", [function.__defaults__, function.__kwdefaults__])
        for cell in function.__closure__ or ():
            with suppress(ValueError):  # an empty cell
                self.add(cell.cell_contents)
        looked_up, attributes = _names(function.__code__)
        self._reached(function.__globals__, looked_up, attributes)

    def _reached(self, scope: Mapping[str, Any], names: set[str], attributes: set[str]) -> None:
        """Take in what is named of a scope, and of the user's own modules in it."""
        for name in sorted(names & scope.keys()):
            value = scope[name]
            self._write("global", name)
            self.add(value)
            if isinstance(value, types.ModuleType) and _is_own(value):
                self._reached(vars(value), attributes, attributes)

    def _code(self, code: types.CodeType) -> None:
        self._write("code", f"{code.co_code.hex()} {code.co_names} {code.co_varnames}")
        self._all("constants", code.co_consts[_has_docstring(code) :])

    def _class(self, kind: type) -> None:
        self._name(kind)
        if not _is_own(kind):
            return
        self._all("bases", kind.__bases__)
        for name, value in sorted(vars(kind).items()):
            if name not in _ABOUT_CLASSES:
                self._write("member", name)
                self.add(value)

    def _wrapped(self, member: Any) -> None:
        inside = [member.fget, member.fset] if isinstance(member, property) else [member.__func__]
        self._all(type(member).__name__, inside)

    def _object(self, value: Any) -> None:
        shown = repr(value)
        if _is_own(type(value)) or re.search(_ADDRESS, shown):
            self.add(type(value))
            self.add(object.__getstate__(value))  # attributes, in slots too
        else:
            self._write(type(value).__qualname__, shown)

    # --- how --------------------------------------------------------------------------

    def _all(self, what: str, values: Iterable[Any]) -> None:
        values = list(values)
        self._write(what, str(len(values)))
        for value in values:
            self.add(value)

    def _name(self, thing: Any) -> None:
        module = getattr(thing, "__module__", "")
        self._write("name", f"{module}.{getattr(thing, '__qualname__', None) or thing.__name__}")

    def _write(self, what: str, text: str) -> None:
        self._sha.update(f"{what} {re.sub(_ADDRESS, '', text)}\0".encode(errors="surrogateescape"))


_ABOUT_CLASSES = {"__dict__", "__weakref__", "__doc__", "__module__", "__annotations__"} | {
    *("__firstlineno__", "__static_attributes__", "__abstractmethods__", "_abc_impl"),
    *(
        "__slotnames__",
        "__annotate_func__",
        "__annotations_cache__",
        "__parameters__",
        "__orig_bases__",
    ),
}


def _names(code: types.CodeType) -> tuple[set[str], set[str]]:
    """Return the globals and the attributes that code, and functions inside it, look up."""
    found: tuple[set[str], set[str]] = set(), set()
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            found[0].add(step.argval)
        elif step.opname in ("LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM"):
            found[1].add(step.argval)
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            for mine, its in zip(found, _names(inner), strict=True):
                mine |= its
    return found


def _has_docstring(code: types.CodeType) -> bool:
    """Whether the first constant is the docstring, or None in its place."""
    if sys.version_info >= (3, 13):
        return bool(code.co_flags & 0x4000000)  # CO_HAS_DOCSTRING
    return not code.co_name.startswith("<")


def _is_own(thing: Any) -> bool:
    """Whether a module, class or function is the user's, and not installed."""
    name = thing.__name__ if inspect.ismodule(thing) else getattr(thing, "__module__", None)
    root = (name or "builtins").partition(".")[0]
    if root in ("torch", "bandlimiter", "builtins"):
        return False
    file = getattr(sys.modules.get(name or ""), "__file__", None)
    if file is None:  # of a session, unless it is built in
        return name not in sys.builtin_module_names
    return not any(Path(file).resolve().is_relative_to(folder) for folder in _INSTALLED)
