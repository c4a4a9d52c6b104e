import ast
from collections.abc import Iterator
from pathlib import Path

import prefrl_envs
import pytest

import labeler_ui
import prefrl

PREFRL = Path(prefrl.__file__).parent
PAGE = Path(labeler_ui.__file__).parent
ENVS = Path(prefrl_envs.__file__).parent

# Each layer may import itself and what is above it in this list, which is what lies below it.
LAYERS = [
    {
        "",
        "__version__",
        "types",
        "config",
        "config_file",
        "limits",
        "run_directory",
        "run_log",
        "arguments",
        "provenance",
        "run_status",
        "metrics",
        "link",
        "recipes",
        "atari_recipes",
        "compute",
        "cores",
        "keypoints",
        "pixels",
        "statistics",
        "display",
        "console",
        "assignment",
    },
    {"labels", "policy", "reward"},
    {"runs"},
    {"labeler_ui"},
    {"wires", "processes", "launcher"},
    {"label_page", "owner_pages"},
    {"start"},
    {"cli", "cli_runs", "cli_compare", "cli_reproduce", "cli_replay", "cli_serve"},
]
FILES = sorted([*PREFRL.rglob("*.py"), *PAGE.rglob("*.py")])


def room(module: str) -> str:
    """`prefrl.reward.loop` is in `reward`, `prefrl.cli` in `cli`, `prefrl` itself in ``.

    All of `labeler_ui` is one.
    """
    package, inside, *_ = [*module.split("."), ""]
    return inside if package == "prefrl" else package


def layer(module: str) -> int:
    (found,) = [i for i, rooms in enumerate(LAYERS) if room(module) in rooms]
    return found


def name_of(path: Path) -> str:
    parts = path.relative_to(PREFRL.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """Modules that a file imports, wherever in it, for type checking too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module is not None
            # `from prefrl import processes` imports a module of that name.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(path: Path) -> list[str]:
    return [name for name in imports(path) if name.split(".")[0] in {"prefrl", "labeler_ui"}]


def test_every_module_has_its_layer():
    assert len(FILES) > 30
    for path in FILES:
        layer(name_of(path))


@pytest.mark.parametrize("path", FILES, ids=[name_of(path) for path in FILES])
def test_imports_point_one_way(path):
    module = name_of(path)
    for imported in ours(path):
        assert layer(imported) <= layer(module), f"{module} imports {imported}"


def test_policy_and_reward_never_import_each_other_and_labels_neither():
    strangers = {
        "policy": {"reward", "labels"}, "reward": {"policy"}, "labels": {"policy", "reward"},
    }  # fmt: skip
    for path in FILES:
        apart = strangers.get(room(name_of(path)), set())
        assert not apart & {room(name) for name in ours(path)}, path


def test_the_page_knows_neither_loop():
    pages = [path for path in FILES if room(name_of(path)) == "labeler_ui"]
    assert len(pages) > 10
    for path in pages:
        assert not {"policy", "reward"} & {room(name) for name in ours(path)}, path


def test_the_environments_import_nothing_of_ours():
    files = sorted(ENVS.rglob("*.py"))
    assert len(files) >= 3
    for path in files:
        foreign = {name.split(".")[0] for name in imports(path)}
        assert not foreign & {"prefrl", "labeler_ui", "torch", "stable_baselines3"}, path


def test_there_are_no_rooms_without_a_noun():
    vague = {"utils", "util", "helpers", "common", "misc"}
    assert not vague & {path.stem for path in (*FILES, *ENVS.rglob("*.py"))}


LOADED = """
import sys
{code}
print(*sorted({{'torch', 'sqlalchemy', 'stable_baselines3'}} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import prefrl.cli", {"torch", "sqlalchemy", "stable_baselines3"}),
        (
            "from prefrl.cli import main; assert main(['--help']) == 0",
            {"torch", "sqlalchemy", "stable_baselines3"},
        ),
        (
            "from prefrl.cli import main\ntry: main(['train', '--help'])\nexcept SystemExit: pass",
            {"torch", "sqlalchemy", "stable_baselines3"},
        ),
        ("import prefrl.types, prefrl.config, prefrl.recipes, prefrl.run_directory",
         {"torch", "sqlalchemy", "stable_baselines3"}),
        ("import prefrl.launcher", {"torch", "stable_baselines3"}),
        ("import prefrl.start", {"torch", "stable_baselines3"}),
        ("import prefrl.labels.store, prefrl.labels.oracle", {"torch", "stable_baselines3"}),
        ("import prefrl.label_page, labeler_ui.server", {"torch", "stable_baselines3"}),
        (
            "import prefrl.cli_serve, prefrl.owner_pages, labeler_ui.archive.app, "
            "labeler_ui.replay_app",
            {"torch", "stable_baselines3"},
        ),
    ],
)  # fmt: skip
def test_what_must_start_at_once_imports_nothing_heavy(run_python, code, absent):
    done = run_python(LOADED.format(code=code))
    assert done.returncode == 0, done.stderr
    assert not absent & set(done.stdout.splitlines()[-1].split())
