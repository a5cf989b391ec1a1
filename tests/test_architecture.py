"""The house: imports go one way, the core stays light, nothing is undocumented."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From the ground up; a room may import rooms of lower levels, and its own files.
LEVELS = [
    {"errors", "release"},
    {"records", "progress", "gates"},
    {"files", "segments", "recipe"},
    {"sources", "engine", "versions"},
    {"formats"},
    {"report", "kernels"},
    {"cleaning", "conversion", "template"},
    {"masks", "questions", "derivation"},
    {"cli"},
]
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}

HEAVY = {
    "torch",
    "transformers",
    "tokenizers",
    "jinja2",
    "trl",
    "peft",
    "argilla",
    "datasets",
    "polars",
    "numba",
    "numpy",
    "fasttext",
    "pydantic",
    "pyarrow",
    "scipy",
}


def modules() -> list[Path]:
    return sorted((ROOT / "datakit").rglob("*.py"))


def room_of(path: Path) -> str:
    inside = path.relative_to(ROOT / "datakit")
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


def imported_rooms(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [a.name for a in node.names]
            if isinstance(node, ast.Import)
            else []
        )
        found |= {name.split(".")[1] for name in names if name.startswith("datakit.")}
        upwards = any(name.split(".")[0] in ("train", "annotation") for name in names)
        assert not upwards or room_of(path) == "cli", f"{path} imports upwards"
    return found


def test_imports_go_one_way() -> None:
    strangers = {room_of(path) for path in modules()} - set(LEVEL) - {"__init__", "__main__"}
    assert not strangers, f"rooms without a level: {strangers}"
    faults = [
        f"{path.relative_to(ROOT)} imports {room}"
        for path in modules()
        if (mine := room_of(path)) in LEVEL
        for room in imported_rooms(path)
        if room != mine and LEVEL[room] >= LEVEL[mine]
    ]
    assert not faults, "\n".join(faults)


def test_the_rooms_of_annotation_import_one_way() -> None:
    levels = [{"server"}, {"client"}, {"campaigns"}, {"judgements"}, {"measures"}, {"decisions", "reports"}]
    level = {room: place for place, rooms in enumerate(levels) for room in rooms}
    faults = []
    for path in sorted((ROOT / "annotation").rglob("*.py")):
        mine = path.relative_to(ROOT / "annotation").with_suffix("").parts[0]
        named = re.findall(r"^\s*from annotation\.(\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        faults += [
            f"{path.relative_to(ROOT)} imports {room}" for room in named if room != mine and level[room] >= level[mine]
        ]
    assert not faults, "\n".join(faults)


def test_the_version_is_one() -> None:
    import tomllib

    import datakit

    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == datakit.__version__


def test_only_the_command_line_prints_and_exits() -> None:
    rooms = [path for path in modules() if room_of(path) not in ("cli", "__main__")]
    siblings = [path for name in ("train", "annotation") for path in sorted((ROOT / name).rglob("*.py"))]
    for path in [*rooms, *siblings]:
        assert "datakit.cli" not in path.read_text(encoding="utf-8"), f"{path} names the command line"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("print", "sys.exit", "exit", "typer.echo"), f"{path}:{node.lineno} calls {called}"


def test_import_is_light() -> None:
    code = "import sys, datakit, datakit.cli; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not (HEAVY | {"train", "annotation"}) & set(loaded)


def test_cleaning_loads_no_training_or_annotation_package() -> None:
    code = "import sys, datakit.cleaning.clean; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    # numba looks for scipy and takes it where it is; nothing of ours does.
    ours = {"polars", "numba", "numpy", "fasttext", "pydantic", "scipy"}
    assert not (HEAVY - ours | {"pandas"}) & set(loaded)


def test_every_command_and_option_is_documented() -> None:
    import typer.main

    from datakit.cli.app import app

    manual = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")

    def walk(command: object, name: str) -> list[str]:
        missing = [] if getattr(command, "help", None) else [f"{name} has no help"]
        missing += [] if f"`{name}`" in manual else [f"{name} is not in docs/commands.md"]
        for child_name, child in getattr(command, "commands", {}).items():
            missing += walk(child, f"{name} {child_name}")
        if not hasattr(command, "commands"):
            missing += [] if "Example:" in (command.help or "") else [f"{name} --help shows no example"]  # type: ignore[attr-defined]
            for option in command.params:  # type: ignore[attr-defined]
                flag = max(option.opts, key=len)
                missing += [] if getattr(option, "help", None) or flag == "--help" else [f"{name} {flag} has no help"]
                missing += (
                    []
                    if not flag.startswith("-") or f"`{flag}" in manual
                    else [f"{name} {flag} is not in docs/commands.md"]
                )
        return missing

    faults = walk(typer.main.get_command(app), "datakit")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    "path",
    [
        p
        for top in ("datakit", "train", "annotation", "tests", "benchmarks", "recipes")
        for p in sorted((ROOT / top).rglob("*.py"))
    ],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_files_and_functions_stay_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 500, f"{path} is over 500 lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert (node.end_lineno or 0) - node.lineno < 80, f"{path}:{node.lineno} {node.name} is over 80 lines"


def test_no_path_of_a_machine_is_named() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    for name in listed.stdout.split("\n"):
        path = ROOT / name
        if (
            path.suffix in (".py", ".md", ".toml", ".yaml", ".json", ".cfg")
            and path.is_file()
            and path != Path(__file__)
        ):
            text = path.read_text(encoding="utf-8")
            assert "/" + "work/" not in text and "/tmp/" + "venv" not in text, f"{name} names a path of one machine"
