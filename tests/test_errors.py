"""All errors that the library raises are its own, and still those of Python that a caller may catch."""

import ast
import builtins
from pathlib import Path

import pytest

import resnetlib
from resnetlib import errors

PACKAGE = Path(resnetlib.__file__).parent

ALLOWED = {
    "AttributeError": "Python's protocol for the attributes of a module",
    "KeyboardInterrupt": "Ctrl-C, which nothing but the caller's end should catch",
}


def foreign_errors(path: Path) -> list[str]:
    """Return the places that raise an exception of Python's, or of a type found at run time."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        raised = node.exc if isinstance(node, ast.Raise) else None
        kind = raised.func if isinstance(raised, ast.Call) else raised
        named = isinstance(kind, ast.Name) and isinstance(getattr(builtins, kind.id, None), type) and kind.id not in ALLOWED
        if named or isinstance(kind, ast.Call):
            found.append(f"{path.relative_to(PACKAGE)}:{node.lineno}: raise {ast.unparse(kind)}")
    return found


def test_no_error_is_raised_that_is_not_the_librarys() -> None:
    assert [place for path in sorted(PACKAGE.rglob("*.py")) for place in foreign_errors(path)] == []


def test_the_scan_finds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.PACKAGE", tmp_path)
    (tmp_path / "a.py").write_text(
        "raise ValueError('x')\nraise OSError\nraise type(e)('x') from e\nraise KeyboardInterrupt\nraise\n"
    )
    assert foreign_errors(tmp_path / "a.py") == ["a.py:1: raise ValueError", "a.py:2: raise OSError", "a.py:3: raise type(e)"]


def test_every_class_is_one_of_pythons_too_and_documented() -> None:
    own = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.ResnetlibError)]
    listed = (PACKAGE.parent / "docs" / "api.md").read_text()
    for kind in own:
        assert f".. autoexception:: resnetlib.errors.{kind.__name__}\n" in listed
        if kind is not errors.ResnetlibError:
            assert next(base for base in kind.__mro__ if base.__module__ == "builtins") is not Exception, kind
